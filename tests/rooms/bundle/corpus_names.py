"""Names of entries that no bundle has, each with the refusal it gets."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from rooms.errors import BundleBadName, BundleDamaged, BundleDuplicate
from tests.rooms.bundle.archive_factories import LINK, Part, zip_of
from tests.rooms.bundle.malformed_bundles import GOOD, HASH, Hostile, bad_name, media, named

_DECOMPOSED = unicodedata.normalize("NFD", "é")

NAMES: dict[str, Hostile] = {
    "absolute name": bad_name("/etc/passwd", "is an absolute path"),
    "drive": bad_name("C:/windows/system.ini", "is an absolute path"),
    "name that leads out": bad_name("media/../../etc/passwd", "leads out of the directory"),
    "media that leads out": bad_name(f"media/{HASH}/..", "leads out of the directory"),
    "backslash": bad_name("media\\..\\x", "contains a backslash"),
    "NUL": bad_name("manifest.json\0.png", "contains U+0000"),
    "folder": bad_name("media/", "is a directory"),
    "other name": bad_name("readme.txt", "is not part of the bundle format"),
    "media without a hash": bad_name("media/photo.png", "is not part of the bundle format"),
    "hash in upper case": bad_name(f"media/{'AB' * 32}/a.png", "is not part of the bundle format"),
    "media in a folder": bad_name(f"media/{HASH}/a/b.png", "is not part of the bundle format"),
    "hidden media": bad_name(f"media/{HASH}/.bashrc", "is not part of the bundle format"),
    "turned text": bad_name(f"media/{HASH}/a\u202egnp.exe", "is not part of the bundle format"),
    "name too long": Hostile(
        lambda: named(f"media/{HASH}/{'a' * 201}"),
        BundleBadName,
        "Invalid entry name: longer than 271 bytes.",
    ),
    "name not UTF-8": Hostile(
        lambda: zip_of(GOOD, Part(b"media/\xff", b"x", flags=0x800)),
        BundleBadName,
        "Invalid entry name: b'media/\\xff' is not UTF-8.",
    ),
    "name in an unknown code": Hostile(
        lambda: zip_of(GOOD, Part(f"media/{HASH}/é.png".encode(), b"x")),
        BundleBadName,
        f"Invalid entry name: {f'media/{HASH}/é.png'.encode()!r} is not ASCII and not marked as "
        "UTF-8.",
    ),
    "second name in an extra field": Hostile(
        lambda: zip_of(replace(GOOD, extra=b"\x75\x70\5\0\1aaaa")),
        BundleDamaged,
        "Entry b'manifest.json' has invalid extra fields.",
    ),
    "symbolic link": Hostile(
        lambda: named(f"media/{HASH}/a.png", attributes=LINK),
        BundleBadName,
        f"Entry media/{HASH}/a.png is a link or another special file.",
    ),
    "folder by its attributes": Hostile(
        lambda: named(f"media/{HASH}/a.png", attributes=0x10),
        BundleBadName,
        f"Entry media/{HASH}/a.png is a link or another special file.",
    ),
    "duplicate names": Hostile(
        lambda: zip_of(GOOD, GOOD),
        BundleDuplicate,
        "The archive has two entries named manifest.json.",
    ),
    "names that differ in case": Hostile(
        lambda: zip_of(GOOD, media("a.png"), media("A.PNG")),
        BundleDuplicate,
        f"Entries media/{HASH}/a.png and media/{HASH}/A.PNG differ only in case or in the "
        "form of a character.",
    ),
    "names that differ in normal form": Hostile(
        lambda: zip_of(GOOD, media("é.png"), media(f"{_DECOMPOSED}.png")),
        BundleDuplicate,
        f"Entries media/{HASH}/é.png and media/{HASH}/{_DECOMPOSED}.png differ only in case "
        "or in the form of a character.",
    ),
}
