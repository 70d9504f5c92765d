"""Malformed archives: what the corpora share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from rooms.errors import BundleBadName, BundleError
from tests.rooms.bundle.archive_factories import Part, make_zip
from tests.rooms.bundle.factories import encode_manifest, make_event, make_manifest, make_part

GOOD = make_part("manifest.json", encode_manifest(make_manifest(make_event(1))))
HASH = "ab" * 32
MIB = 1024 * 1024


class MalformedBundle(NamedTuple):
    build: Callable[[], bytes]
    error: type[BundleError]
    message: str


def make_bundle_with_entry(name: str, **changes: object) -> bytes:
    """Return a bundle with an entry of this name after its manifest."""
    return make_zip(GOOD, replace(make_part(name, b"x"), **changes))  # type: ignore[arg-type]


def make_media_part(name: str, data: bytes = b"x") -> Part:
    return make_part(f"media/{HASH}/{name}", data)


def make_bad_name(name: str, reason: str) -> MalformedBundle:
    return MalformedBundle(
        lambda: make_bundle_with_entry(name),
        BundleBadName,
        f"Invalid entry name: {name!r} {reason}.",
    )
