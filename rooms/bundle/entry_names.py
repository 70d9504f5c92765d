"""Which names an entry of a bundle may have."""

from __future__ import annotations

import re
import unicodedata

from rooms.bundle.format import LONGEST_ENTRY_NAME, MANIFEST, MEDIA_FOLDER, SIGNATURE, fit_file_name
from rooms.errors import BundleBadName

_HASH = re.compile(r"[0-9a-f]{64}")
LONGEST = len(f"{MEDIA_FOLDER}/") + 64 + len("/") + LONGEST_ENTRY_NAME
"""In bytes of UTF-8."""


def entry_name(raw: bytes, *, is_utf8: bool) -> str:
    """The name as text. Raises `BundleBadName` for every name that a bundle does not have."""
    if len(raw) > LONGEST:
        raise BundleBadName(f"The name of an entry is longer than {LONGEST} bytes.")
    try:
        name = raw.decode("utf-8" if is_utf8 else "ascii")
    except UnicodeDecodeError:
        encoding = "UTF-8" if is_utf8 else "ASCII and not marked as UTF-8"
        raise BundleBadName(f"The name of an entry is not {encoding}: {raw!r}.") from None
    if name not in (MANIFEST, SIGNATURE) and not _is_media(name):
        raise BundleBadName(f"The entry {name!r} {_why_not(name)}.", entry=name)
    return name


def collision_key(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def media_hash(name: str) -> str | None:
    """The hash in the name of an attachment's entry; None of another entry."""
    return name.split("/")[1] if name.startswith(f"{MEDIA_FOLDER}/") else None


def _is_media(name: str) -> bool:
    folder, _, rest = name.partition("/")
    sha256, _, file_name = rest.partition("/")
    return (
        folder == MEDIA_FOLDER
        and _HASH.fullmatch(sha256) is not None
        and file_name != ""
        and fit_file_name(file_name) == file_name
    )


def _why_not(name: str) -> str:
    parts = name.split("/")
    if "\0" in name:
        return "has U+0000 in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "has an absolute path for a name"
    if ".." in parts:
        return "leads out of its folder"
    if name.endswith("/"):
        return "is a folder, which no bundle has"
    return "is none that a bundle has"
