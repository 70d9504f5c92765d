"""What the corpora of malformed bundles share; `refusals.tsv` has the refusal of each by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tests.rooms.bundle.archive_factories import Part, make_zip
from tests.rooms.bundle.factories import encode_manifest, make_event, make_manifest, make_part

GOOD = make_part("manifest.json", encode_manifest(make_manifest(make_event(1))))
HASH = "ab" * 32
MIB = 1024 * 1024


Builder = Callable[[], bytes]


class Refusal(NamedTuple):
    code: str
    message: str


REFUSALS = {
    name: Refusal(code, message)
    for name, code, message in (
        line.split("\t")
        for line in Path(__file__).with_name("refusals.tsv").read_text("utf-8").splitlines()
    )
}


def make_bundle_with_entry(name: str, **changes: object) -> bytes:
    """Return a bundle with an entry of this name after its manifest."""
    return make_zip(GOOD, replace(make_part(name, b"x"), **changes))  # type: ignore[arg-type]


def make_media_part(name: str, data: bytes = b"x") -> Part:
    return make_part(f"media/{HASH}/{name}", data)


def make_named(name: str) -> Builder:
    return lambda: make_bundle_with_entry(name)
