"""Invalid entry names, each with the error it causes."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from rooms.errors import BundleBadName, BundleDamaged, BundleDuplicate
from tests.rooms.bundle.archive_factories import LINK, Part, make_zip
from tests.rooms.bundle.malformed_bundles import (
    GOOD,
    HASH,
    MalformedBundle,
    make_bad_name,
    make_bundle_with_entry,
    make_media_part,
)

_DECOMPOSED = unicodedata.normalize("NFD", "é")

NAMES: dict[str, MalformedBundle] = {
    "absolute name": make_bad_name("/etc/passwd", "is an absolute path"),
    "drive": make_bad_name("C:/windows/system.ini", "is an absolute path"),
    "name that leads out": make_bad_name("media/../../etc/passwd", "leads out of the directory"),
    "media that leads out": make_bad_name(f"media/{HASH}/..", "leads out of the directory"),
    "backslash": make_bad_name("media\\..\\x", "contains a backslash"),
    "NUL": make_bad_name("manifest.json\0.png", "contains U+0000"),
    "directory": make_bad_name("media/", "is a directory"),
    "other name": make_bad_name("readme.txt", "is not part of the bundle format"),
    "media without a hash": make_bad_name("media/photo.png", "is not part of the bundle format"),
    "hash in upper case": make_bad_name(
        f"media/{'AB' * 32}/a.png", "is not part of the bundle format"
    ),
    "media in a subdirectory": make_bad_name(
        f"media/{HASH}/a/b.png", "is not part of the bundle format"
    ),
    "hidden media": make_bad_name(f"media/{HASH}/.bashrc", "is not part of the bundle format"),
    "turned text": make_bad_name(
        f"media/{HASH}/a\u202egnp.exe", "is not part of the bundle format"
    ),
    "name too long": MalformedBundle(
        lambda: make_bundle_with_entry(f"media/{HASH}/{'a' * 201}"),
        BundleBadName,
        "Invalid entry name: longer than 271 bytes.",
    ),
    "name not UTF-8": MalformedBundle(
        lambda: make_zip(GOOD, Part(b"media/\xff", b"x", flags=0x800)),
        BundleBadName,
        "Invalid entry name: b'media/\\xff' is not UTF-8.",
    ),
    "name in an unknown code": MalformedBundle(
        lambda: make_zip(GOOD, Part(f"media/{HASH}/é.png".encode(), b"x")),
        BundleBadName,
        f"Invalid entry name: {f'media/{HASH}/é.png'.encode()!r} is not ASCII and not marked as "
        "UTF-8.",
    ),
    "second name in an extra field": MalformedBundle(
        lambda: make_zip(replace(GOOD, extra=b"\x75\x70\5\0\1aaaa")),
        BundleDamaged,
        "Entry b'manifest.json' has invalid extra fields.",
    ),
    "symbolic link": MalformedBundle(
        lambda: make_bundle_with_entry(f"media/{HASH}/a.png", attributes=LINK),
        BundleBadName,
        f"Entry media/{HASH}/a.png is a link or another special file.",
    ),
    "directory by its attributes": MalformedBundle(
        lambda: make_bundle_with_entry(f"media/{HASH}/a.png", attributes=0x10),
        BundleBadName,
        f"Entry media/{HASH}/a.png is a link or another special file.",
    ),
    "duplicate names": MalformedBundle(
        lambda: make_zip(GOOD, GOOD),
        BundleDuplicate,
        "The archive has two entries named manifest.json.",
    ),
    "names that differ in case": MalformedBundle(
        lambda: make_zip(GOOD, make_media_part("a.png"), make_media_part("A.PNG")),
        BundleDuplicate,
        f"Entries media/{HASH}/a.png and media/{HASH}/A.PNG differ only in case or in the "
        "form of a character.",
    ),
    "names that differ in normal form": MalformedBundle(
        lambda: make_zip(GOOD, make_media_part("é.png"), make_media_part(f"{_DECOMPOSED}.png")),
        BundleDuplicate,
        f"Entries media/{HASH}/é.png and media/{HASH}/{_DECOMPOSED}.png differ only in case "
        "or in the form of a character.",
    ),
}
