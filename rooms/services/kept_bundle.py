"""Whether a file is a bundle that an earlier export has finished."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any
from uuid import UUID

from rooms.bundle.format import (
    FORMAT,
    LEFT_OUT,
    MANIFEST,
    MOST_HEAD_BYTES,
    SIGNATURE,
    VERSION,
    media_entry,
)
from rooms.bundle.window import Window

# How our manifests go on after their head; a string can't hold a line break.
_EVENTS = b',\n"events": ['
_PIECE = 64 * 1024


def is_kept(path: Path, room_id: UUID, *, window: Window, with_media: bool) -> bool:
    """Whether it is a whole bundle of this room, of the same window and with the same media.

    Cheap: reads the directory of the archive and the head of the manifest, no event and no
    attachment. `scaiwave room verify` reads everything.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            head = _head(archive)
            return (
                (head["format"], head["version"]) == (FORMAT, VERSION)
                and head["room"]["id"] == str(room_id)
                and head["window"] == window.document()
                and _is_whole(archive, head["media"])
                and _has_media(head["media"], with_media)
            )
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, LookupError, TypeError):
        # Whatever is wrong with it, it is not what is wanted, and a new one takes its place.
        return False


def _head(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Raises ValueError for what does not look like a manifest of ours."""
    text, looked = bytearray(), 0
    with archive.open(MANIFEST) as file:
        while (end := text.find(_EVENTS, looked)) < 0:
            looked = max(0, len(text) - len(_EVENTS))
            piece = file.read(_PIECE)
            if not piece or len(text) > MOST_HEAD_BYTES:
                raise ValueError("no events")
            text += piece
    head: dict[str, Any] = json.loads(text[:end] + b"}")
    return head


def _is_whole(archive: zipfile.ZipFile, media: list[dict[str, Any]]) -> bool:
    """Whether all entries are there; of several names for the same bytes the first has them."""
    first: dict[str, str] = {}
    for row in media:
        if row["missing"] is None:
            first.setdefault(row["sha256"], media_entry(row["sha256"], row["name"]))
    return archive.namelist() == [MANIFEST, *first.values(), SIGNATURE]


def _has_media(media: list[dict[str, Any]], wanted: bool) -> bool:
    missing = {row["missing"] for row in media}
    return LEFT_OUT not in missing if wanted else None not in missing
