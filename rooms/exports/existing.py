"""Decide whether a file is a complete bundle of an earlier export, so that it can be kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rooms.bundle.archive.reader import Archive, hash_chunks
from rooms.bundle.format import (
    FORMAT,
    LEFT_OUT,
    LOST,
    MANIFEST,
    MAX_HEADER_BYTES,
    SIGNATURE,
    VERSION,
    media_entry_name,
)
from rooms.bundle.manifest.schema import ManifestHeader, MediaEntry, SignedEntry, TimeWindow
from rooms.bundle.signature import read_signature
from rooms.errors import BundleError
from rooms.lookup.media import is_intact
from rooms.models import Room
from rooms.models.media import get_storage_name
from scaiwave.core.files import open_regular

# How a manifest of this suite continues after its header; a JSON string can't hold a line break.
_EVENTS_START = b',\n"events": ['
_UNLIMITED = 2**63


class _StoredHeader(ManifestHeader, kw_only=True):
    format: str
    version: int


_decode_header = msgspec.json.Decoder(_StoredHeader).decode


def is_up_to_date(path: Path, room: Room, *, window: TimeWindow, with_media: bool) -> bool:
    """Return whether a file is a complete bundle of this room with the same window and media.

    Every byte is compared with its hash, because a damaged file is useless as a backup. That is
    still less work than an export; `scaiwave room verify` also checks each event. A bundle with
    lost attachments is out of date once the media store has one of them again.
    """
    try:
        with open_regular(path) as file:
            archive = Archive(file, _UNLIMITED)
            header = read_header(archive)
            missing = {entry.missing for entry in header.media}
            return (
                (header.format, header.version) == (FORMAT, VERSION)
                and header.room.id == str(room.pk)
                and header.window == window.for_manifest
                and (LEFT_OUT not in missing if with_media else None not in missing)
                and not any(
                    # The store was not mounted, for example.
                    is_intact(
                        get_storage_name(room.tenant_id, entry.sha256), entry.sha256, entry.size
                    )
                    for entry in header.media
                    if entry.missing == LOST
                )
                and _is_intact(archive, header.media)
            )
    except (OSError, BundleError, ValueError, LookupError, TypeError, msgspec.MsgspecError):
        # Whatever is wrong with the file, a new bundle will replace it.
        return False


def read_header(archive: Archive) -> _StoredHeader:
    """Return the manifest without its events, of a bundle of this suite.

    Raises `ValueError` for anything but a manifest in the form that this suite writes.
    """
    text, searched = bytearray(), 0
    for chunk in archive.iter_entry(MANIFEST):
        text += chunk
        if (end := text.find(_EVENTS_START, searched)) >= 0:
            return _decode_header(text[:end] + b"}")
        if len(text) > MAX_HEADER_BYTES:
            break
        searched = max(0, len(text) - len(_EVENTS_START))
    raise ValueError("no events")


def _is_intact(archive: Archive, media: list[MediaEntry]) -> bool:
    """Return whether all entries exist as they were signed.

    The bytes of an attachment are stored under the first of its names.
    """
    names: dict[str, str] = {}
    for file in media:
        if file.missing is None:
            names.setdefault(file.sha256, media_entry_name(file.sha256, file.name))
    signed: list[SignedEntry] = []
    chunks = archive.iter_entry(SIGNATURE)
    read_signature(chunks, signed.append)
    for _ in chunks:
        pass  # The checksum of the entry is compared at its end.
    expected = [MANIFEST, *names.values()]
    if list(archive.entries) != [*expected, SIGNATURE] or [row.name for row in signed] != expected:
        return False
    return all(
        hash_chunks(archive.iter_entry(entry.name)) == (entry.sha256, entry.size)
        for entry in signed
    )
