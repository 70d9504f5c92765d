"""Whether a file is a bundle that an earlier export has finished."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from rooms.bundle.archive.reader import Archive, Limits
from rooms.bundle.format import (
    FORMAT,
    LEFT_OUT,
    LOST,
    MANIFEST,
    MOST_HEAD_BYTES,
    SIGNATURE,
    VERSION,
    media_entry,
)
from rooms.bundle.signature import SignedEntry, read_signature
from rooms.bundle.time_window import Window
from rooms.errors import BundleError
from rooms.models import Media, Room
from rooms.queries.media import exists_with_size

# How our manifests go on after their head; a string can't hold a line break.
_EVENTS = b',\n"events": ['
_ANY_SIZE = Limits(most_bytes=2**63)


def is_up_to_date(path: Path, room: Room, *, window: Window, with_media: bool) -> bool:
    """Whether it is a whole bundle of this room, of the same window and with the same media, and
    none of them that was lost is there again.

    Every byte is compared with its hash, since a backup that is damaged is none. That is still a
    part of the work of an export; `scaiwave room verify` also looks at each event.
    """
    try:
        with path.open("rb") as file:
            archive = Archive(file, _ANY_SIZE)
            head = _head(archive)
            return (
                (head["format"], head["version"]) == (FORMAT, VERSION)
                and head["room"]["id"] == str(room.pk)
                and head["window"] == window.document()
                and _has_media(head["media"], with_media)
                and not any(_is_back(room, row) for row in head["media"])
                and _is_whole(archive, head["media"])
            )
    except (OSError, BundleError, ValueError, LookupError, TypeError):
        # Whatever is wrong with it, it is not what is wanted, and a new one takes its place.
        return False


def _head(archive: Archive) -> dict[str, Any]:
    """Raises ValueError for what does not look like a manifest of ours."""
    text, looked = bytearray(), 0
    for piece in archive.chunks(MANIFEST):
        text += piece
        if (end := text.find(_EVENTS, looked)) >= 0:
            head: dict[str, Any] = json.loads(text[:end] + b"}")
            return head
        if len(text) > MOST_HEAD_BYTES:
            break
        looked = max(0, len(text) - len(_EVENTS))
    raise ValueError("no events")


def _is_whole(archive: Archive, media: list[dict[str, Any]]) -> bool:
    """Whether all entries are there, as they were signed; of several names for the same bytes the
    first has them."""
    first: dict[str, str] = {}
    for row in media:
        if row["missing"] is None:
            first.setdefault(row["sha256"], media_entry(row["sha256"], row["name"]))
    signed: list[SignedEntry] = []
    chunks = archive.chunks(SIGNATURE)
    read_signature(chunks, signed.append)
    for _ in chunks:
        pass  # To the end, where its own checksum is.
    return (
        list(archive.entries) == [MANIFEST, *first.values(), SIGNATURE]
        and [row.name for row in signed] == [MANIFEST, *first.values()]
        and all(_has_hash(archive, row) for row in signed)
    )


def _has_hash(archive: Archive, row: SignedEntry) -> bool:
    digest, size = sha256(), 0
    for chunk in archive.chunks(row.name):
        digest.update(chunk)
        size += len(chunk)
    return (digest.hexdigest(), size) == (row.sha256, row.size)


def _has_media(media: list[dict[str, Any]], wanted: bool) -> bool:
    missing = {row["missing"] for row in media}
    return LEFT_OUT not in missing if wanted else None not in missing


def _is_back(room: Room, row: dict[str, Any]) -> bool:
    """Whether the media store had lost it, as when it was not mounted, and has it now."""
    if row["missing"] != LOST:
        return False
    return exists_with_size(
        Media(tenant_id=room.tenant_id, sha256=row["sha256"]).storage_name, row["size"]
    )
