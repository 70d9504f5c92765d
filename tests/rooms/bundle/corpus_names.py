"""Names of entries that no bundle has, each with the refusal it gets."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from rooms.errors import BundleBadName, BundleDamaged, BundleDuplicate
from tests.rooms.bundle.archives import LINK, Part, zip_of
from tests.rooms.bundle.hostile import GOOD, HASH, Hostile, bad_name, media, named

_DECOMPOSED = unicodedata.normalize("NFD", "é")

NAMES: dict[str, Hostile] = {
    "absolute name": bad_name("/etc/passwd", "has an absolute path for a name"),
    "drive": bad_name("C:/windows/system.ini", "has an absolute path for a name"),
    "name that leads out": bad_name("media/../../etc/passwd", "leads out of its folder"),
    "media that leads out": bad_name(f"media/{HASH}/..", "leads out of its folder"),
    "backslash": bad_name("media\\..\\x", "has a backslash in its name"),
    "NUL": bad_name("manifest.json\0.png", "has U+0000 in its name"),
    "folder": bad_name("media/", "is a folder, which no bundle has"),
    "other name": bad_name("readme.txt", "is none that a bundle has"),
    "media without a hash": bad_name("media/photo.png", "is none that a bundle has"),
    "hash in upper case": bad_name(f"media/{'AB' * 32}/a.png", "is none that a bundle has"),
    "media in a folder": bad_name(f"media/{HASH}/a/b.png", "is none that a bundle has"),
    "hidden media": bad_name(f"media/{HASH}/.bashrc", "is none that a bundle has"),
    "turned text": bad_name(f"media/{HASH}/a\u202egnp.exe", "is none that a bundle has"),
    "name too long": Hostile(
        lambda: named(f"media/{HASH}/{'a' * 201}"),
        BundleBadName,
        "The name of an entry is longer than 271 bytes.",
    ),
    "name not UTF-8": Hostile(
        lambda: zip_of(GOOD, Part(b"media/\xff", b"x", flags=0x800)),
        BundleBadName,
        "The name of an entry is not UTF-8: b'media/\\xff'.",
    ),
    "name in an unknown code": Hostile(
        lambda: zip_of(GOOD, Part(f"media/{HASH}/é.png".encode(), b"x")),
        BundleBadName,
        "The name of an entry is not ASCII and not marked as UTF-8: "
        f"{f'media/{HASH}/é.png'.encode()!r}.",
    ),
    "second name in an extra field": Hostile(
        lambda: zip_of(replace(GOOD, extra=b"\x75\x70\5\0\1aaaa")),
        BundleDamaged,
        "The entry b'manifest.json' has extra fields that make no sense.",
    ),
    "symbolic link": Hostile(
        lambda: named(f"media/{HASH}/a.png", attributes=LINK),
        BundleBadName,
        f"The entry media/{HASH}/a.png is a link or another special file.",
    ),
    "folder by its attributes": Hostile(
        lambda: named(f"media/{HASH}/a.png", attributes=0x10),
        BundleBadName,
        f"The entry media/{HASH}/a.png is a link or another special file.",
    ),
    "duplicate names": Hostile(
        lambda: zip_of(GOOD, GOOD),
        BundleDuplicate,
        "The archive has the entry manifest.json twice.",
    ),
    "names that differ in case": Hostile(
        lambda: zip_of(GOOD, media("a.png"), media("A.PNG")),
        BundleDuplicate,
        f"The entries media/{HASH}/a.png and media/{HASH}/A.PNG differ in case or in the form of a "
        "character alone.",
    ),
    "names that differ in normal form": Hostile(
        lambda: zip_of(GOOD, media("é.png"), media(f"{_DECOMPOSED}.png")),
        BundleDuplicate,
        f"The entries media/{HASH}/é.png and media/{HASH}/{_DECOMPOSED}.png differ in case or in "
        "the form of a character alone.",
    ),
}
