"""Decide whether a file is a complete bundle of an earlier export, so that it can be kept."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec

from rooms.bundle.archive.reader import Archive, Limits
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
from rooms.bundle.manifest.schema import (
    ManifestHeader,
    MediaEntry,
    SignedEntry,
    TimeWindow,
)
from rooms.bundle.signature import read_signature
from rooms.errors import BundleError
from rooms.lookup.media import exists_with_size
from rooms.models import Room
from rooms.models.media import get_storage_name

# How a manifest of this suite continues after its header; a JSON string can't hold a line break.
_EVENTS_START = b',\n"events": ['
_UNLIMITED = Limits(max_bytes=2**63)


class _StoredHeader(ManifestHeader):
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
        with path.open("rb") as file:
            archive = Archive(file, _UNLIMITED)
            header = _read_header(archive)
            return (
                (header.format, header.version) == (FORMAT, VERSION)
                and header.room.id == str(room.pk)
                and header.window == window.for_manifest
                and _has_same_media_option(header.media, with_media=with_media)
                and not any(_is_available_again(room, entry) for entry in header.media)
                and _is_intact(archive, header.media)
            )
    except (OSError, BundleError, ValueError, LookupError, TypeError, msgspec.MsgspecError):
        # Whatever is wrong with the file, a new bundle will replace it.
        return False


def _read_header(archive: Archive) -> _StoredHeader:
    """Raises `ValueError` for anything but a manifest in the form that this suite writes."""
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
    for entry in media:
        if entry.missing is None:
            names.setdefault(entry.sha256, media_entry_name(entry.sha256, entry.name))
    signed: list[SignedEntry] = []
    chunks = archive.iter_entry(SIGNATURE)
    read_signature(chunks, signed.append)
    for _ in chunks:
        pass  # The checksum of the entry is compared at its end.
    return (
        list(archive.entries) == [MANIFEST, *names.values(), SIGNATURE]
        and [entry.name for entry in signed] == [MANIFEST, *names.values()]
        and all(_has_hash(archive, entry) for entry in signed)
    )


def _has_hash(archive: Archive, entry: SignedEntry) -> bool:
    digest, size = sha256(), 0
    for chunk in archive.iter_entry(entry.name):
        digest.update(chunk)
        size += len(chunk)
    return (digest.hexdigest(), size) == (entry.sha256, entry.size)


def _has_same_media_option(media: list[MediaEntry], *, with_media: bool) -> bool:
    missing = {entry.missing for entry in media}
    return LEFT_OUT not in missing if with_media else None not in missing


def _is_available_again(room: Room, entry: MediaEntry) -> bool:
    """Return whether the media store had lost a file, as when it was not mounted, and has it."""
    if entry.missing != LOST:
        return False
    return exists_with_size(get_storage_name(room.tenant_id, entry.sha256), entry.size)
