"""Invalid entry names."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from tests.rooms.bundle.archive_factories import LINK, Part, make_zip
from tests.rooms.bundle.malformed_bundles import (
    GOOD,
    HASH,
    Builder,
    make_bundle_with_entry,
    make_media_part,
    make_named,
)

_DECOMPOSED = unicodedata.normalize("NFD", "é")

NAMES: dict[str, Builder] = {
    "absolute name": make_named("/etc/passwd"),
    "drive": make_named("C:/windows/system.ini"),
    "name that leads out": make_named("media/../../etc/passwd"),
    "media that leads out": make_named(f"media/{HASH}/.."),
    "backslash": make_named("media\\..\\x"),
    "NUL": make_named("manifest.json\0.png"),
    "directory": make_named("media/"),
    "other name": make_named("readme.txt"),
    "media without a hash": make_named("media/photo.png"),
    "hash in upper case": make_named(f"media/{'AB' * 32}/a.png"),
    "media in a subdirectory": make_named(f"media/{HASH}/a/b.png"),
    "hidden media": make_named(f"media/{HASH}/.bashrc"),
    "turned text": make_named(f"media/{HASH}/a\u202egnp.exe"),
    "name too long": lambda: make_bundle_with_entry(f"media/{HASH}/{'a' * 201}"),
    "name not UTF-8": lambda: make_zip(GOOD, Part(b"media/\xff", b"x", flags=0x800)),
    "name in an unknown code": lambda: make_zip(GOOD, Part(f"media/{HASH}/é.png".encode(), b"x")),
    "second name in an extra field": lambda: make_zip(replace(GOOD, extra=b"\x75\x70\5\0\1aaaa")),
    "symbolic link": lambda: make_bundle_with_entry(f"media/{HASH}/a.png", attributes=LINK),
    "directory by its attributes": lambda: make_bundle_with_entry(
        f"media/{HASH}/a.png", attributes=0x10
    ),
    "duplicate names": lambda: make_zip(GOOD, GOOD),
    "names that differ in case": lambda: make_zip(
        GOOD, make_media_part("a.png"), make_media_part("A.PNG")
    ),
    "names that differ in normal form": lambda: make_zip(
        GOOD, make_media_part("é.png"), make_media_part(f"{_DECOMPOSED}.png")
    ),
}
