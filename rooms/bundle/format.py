"""Names and limits of the format; the page about the bundle says what they mean.

What the platform documents: `manifest.json` and `media/<sha256>/<name>`, what an import keeps and
strips, which rooms are refused, and 64 KB of content (ScaiWave docs,
tutorials/export-and-import-rooms and concepts/incognito-and-restricted).
"""

from __future__ import annotations

import re

FORMAT = "scaiwave-room-bundle"
VERSION = 1

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
MEDIA_FOLDER = "media"

MIB = 1024 * 1024
MOST_CONTENT_BYTES = 64 * 1024
MOST_EVENT_BYTES = MIB
MOST_HEAD_BYTES = 64 * MIB
MOST_MEDIA = 100_000
MOST_SENDERS = 100_000
DEEPEST = 64
MOST_RATIO = 200
RATIO_COUNTS_FROM = MIB
LONGEST_ENTRY_NAME = 200
"""In bytes of UTF-8, of the last part of the name of an entry."""

CARRIED_ROOM_TYPES = frozenset({"group", "public", "dm"})
ALGORITHM = "ed25519"

IMPORTED_SENDER = "_imported_sender"
FOREIGN_TYPES = frozenset({"federated", "bridge"})

INFECTED = "infected"
LOST = "lost"
LEFT_OUT = "left out"

# Event references by type: the key of the content, and whether the event is nothing without it.
REFERENCES: dict[str, tuple[str, bool]] = {
    "swp.room.message": ("reply_to_event_id", False),
    "swp.room.reaction": ("event_id", True),
    "swp.room.redaction": ("event_id", True),
}
MEDIA_KEYS = ("media_id", "thumbnail_id")

STRIPPED_TYPES = frozenset({"swp.room.read_marker"})
STRIPPED_PREFIX = "swp.sidekick."

# Nothing that leads out of a folder, hides a file or upsets a file system.
_UNFIT = re.compile(r'^\.|[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]')


def is_stripped(event_type: str) -> bool:
    """Whether an import leaves this event out."""
    return event_type in STRIPPED_TYPES or event_type.startswith(STRIPPED_PREFIX)


def media_entry(sha256: str, file_name: str) -> str:
    """The name of an attachment's entry."""
    return f"{MEDIA_FOLDER}/{sha256}/{fit_file_name(file_name)}"


def fit_file_name(file_name: str) -> str:
    """The file name as an archive may hold it; never empty."""
    clean = _UNFIT.sub("_", file_name.encode(errors="replace").decode())
    cut = clean.encode()[:LONGEST_ENTRY_NAME].decode(errors="ignore").rstrip(" .")
    return cut or "file"
