"""Names and limits of the bundle format, and the names that entries may have.

The meaning of each is explained on the page about the bundle format. Documented by the platform:
`manifest.json` and `media/<sha256>/<name>`, what an import keeps and strips, which rooms can't be
exported, and 64 KB of content (ScaiWave docs, tutorials/export-and-import-rooms and
concepts/incognito-and-restricted).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from uuid import UUID

from rooms.errors import BundleBadName

FORMAT = "scaiwave-room-bundle"
VERSION = 1
INCREMENT_VERSION = 2
INCREMENT = "increment"

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
MEDIA_DIRECTORY = "media"

MIB = 1024 * 1024
MAX_CONTENT_BYTES = 64 * 1024
MAX_EVENT_BYTES = MIB
MAX_HEADER_BYTES = 64 * MIB
MAX_MEDIA = 100_000
MAX_SENDERS = 100_000
MAX_DELETED = 2_000_000
MAX_DEPTH = 64
MAX_COMPRESSION_RATIO = 200
MIN_RATIO_CHECKED_BYTES = MIB
"""Smaller entries may have any compression ratio."""
MAX_FILE_NAME_BYTES = 200
"""In UTF-8, for the last part of an entry name."""
MAX_ENTRY_NAME_BYTES = len(f"{MEDIA_DIRECTORY}/") + 64 + len("/") + MAX_FILE_NAME_BYTES

EXPORTABLE_ROOM_TYPES = frozenset({"group", "public", "dm"})
SIGNATURE_ALGORITHM = "ed25519"

IMPORTED_SENDER = "_imported_sender"
AVATAR_MEDIA = "media:"
"""What stands before the ID of an attachment of the bundle that is an avatar."""
UNVERIFIED = "unverified"
"""Key of an original sender that claims to be of this server, which can't be proven."""
FOREIGN_TYPES = frozenset({"federated", "bridge"})

INFECTED: Final = "infected"
LOST: Final = "lost"
LEFT_OUT: Final = "left out"

# Event references by type: the key in the content, and whether the event is useless without it.
REFERENCES: dict[str, tuple[str, bool]] = {
    "swp.room.message": ("reply_to_event_id", False),
    "swp.room.reaction": ("event_id", True),
    "swp.room.redaction": ("event_id", True),
}
REFERENCE_KEYS = {event_type: key for event_type, (key, _) in REFERENCES.items()}
MEDIA_KEYS = ("media_id", "thumbnail_id")

STRIPPED_TYPES = frozenset({"swp.room.read_marker"})
STRIPPED_PREFIX = "swp.sidekick."

# Characters that could lead out of a directory, hide a file or be invalid in a file system.
_UNSAFE_CHARS = re.compile(
    r'^\.|[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]'
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_stripped(event_type: str) -> bool:
    """Return whether an import leaves out events of this type."""
    return event_type in STRIPPED_TYPES or event_type.startswith(STRIPPED_PREFIX)


def normalize_id(value: object) -> str | None:
    """Return a UUID in the form of the format, whatever its spelling; None for anything else.

    The platform reads IDs with `UUID()` too, which accepts capitals, braces, `urn:uuid:`, and
    hyphens in any place or none.
    """
    if not isinstance(value, str):
        return None
    if _UUID.fullmatch(value):
        return value
    try:
        return str(UUID(value))
    except ValueError:
        return None


def format_id(raw: bytes | bytearray) -> str:
    """Return 16 bytes as a UUID in the form of the format."""
    return add_hyphens(raw.hex())


def add_hyphens(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def media_entry_name(sha256: str, file_name: str) -> str:
    return f"{MEDIA_DIRECTORY}/{sha256}/{sanitize_file_name(file_name)}"


def media_hash(entry_name: str) -> str | None:
    """Return the hash in the entry name of an attachment, None for other entries."""
    is_media = entry_name.startswith(f"{MEDIA_DIRECTORY}/")
    return entry_name.split("/")[1] if is_media else None


def sanitize_file_name(file_name: str) -> str:
    """Return the file name in a form that is safe in an archive; never empty."""
    safe = _UNSAFE_CHARS.sub("_", file_name.encode(errors="replace").decode())
    shortened = safe.encode()[:MAX_FILE_NAME_BYTES].decode(errors="ignore").rstrip(" .")
    return shortened or "file"


def parse_entry_name(raw: bytes, *, is_utf8: bool) -> str:
    """Decode the name of an entry. Raises `BundleBadName` if a bundle can't have such an entry."""
    if len(raw) > MAX_ENTRY_NAME_BYTES:
        raise BundleBadName(f"Invalid entry name: longer than {MAX_ENTRY_NAME_BYTES} bytes.")
    try:
        name = raw.decode("utf-8" if is_utf8 else "ascii")
    except UnicodeDecodeError:
        encoding = "UTF-8" if is_utf8 else "ASCII and not marked as UTF-8"
        raise BundleBadName(f"Invalid entry name: {raw!r} is not {encoding}.") from None
    if name not in (MANIFEST, SIGNATURE) and not _is_media_entry(name):
        raise BundleBadName(f"Invalid entry name: {name!r} {_invalid_reason(name)}.", entry=name)
    return name


def collision_key(entry_name: str) -> str:
    """Return a key that is equal for names that some file system treats as the same."""
    normalized = unicodedata.normalize("NFC", entry_name)
    return unicodedata.normalize("NFC", normalized.casefold())


def _is_media_entry(name: str) -> bool:
    directory, _, rest = name.partition("/")
    sha256, _, file_name = rest.partition("/")
    return (
        directory == MEDIA_DIRECTORY
        and _SHA256.fullmatch(sha256) is not None
        and file_name != ""
        and sanitize_file_name(file_name) == file_name
    )


def _invalid_reason(name: str) -> str:
    if "\0" in name:
        return "contains U+0000"
    if "\\" in name:
        return "contains a backslash"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in name.split("/"):
        return "leads out of the directory"
    if name.endswith("/"):
        return "is a directory"
    return "is not part of the bundle format"
