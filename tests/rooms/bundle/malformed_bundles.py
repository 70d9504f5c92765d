"""What the corpora of hostile archives have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from rooms.errors import BundleBadName, BundleError
from tests.rooms.bundle.archive_factories import Part, zip_of
from tests.rooms.bundle.factories import event, manifest, manifest_bytes, part

GOOD = part("manifest.json", manifest_bytes(manifest(event(1))))
HASH = "ab" * 32
MIB = 1024 * 1024


class Hostile(NamedTuple):
    build: Callable[[], bytes]
    error: type[BundleError]
    message: str


def named(name: str, **changes: object) -> bytes:
    """A bundle with an entry of this name behind its manifest."""
    return zip_of(GOOD, replace(part(name, b"x"), **changes))  # type: ignore[arg-type]


def media(name: str, data: bytes = b"x") -> Part:
    return part(f"media/{HASH}/{name}", data)


def bad_name(name: str, reason: str) -> Hostile:
    return Hostile(lambda: named(name), BundleBadName, f"Invalid entry name: {name!r} {reason}.")
