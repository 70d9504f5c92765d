"""Generate attachments: files in the media store, and the rows of their rooms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from django.core.files.base import File
from django.core.files.storage import default_storage

from rooms.models import Media, Room, RoomMedia, ScanStatus
from rooms.services.seeding.text import FILE_NAMES, make_random
from tenants.models import Tenant

if TYPE_CHECKING:
    _BytesFile = File[bytes]
else:
    _BytesFile = File  # not generic at run time

BLOCK_BYTES = 1024 * 1024
_TYPES = {".png": "image/png", ".pdf": "application/pdf", ".txt": "text/plain"}
# Every tenth file of a room has the bytes of the one before, under another name.
_DUPLICATE_INTERVAL = 10
# Every 25th file was deleted by the scanner.
_INFECTED_INTERVAL = 25


class GeneratedFile(_BytesFile):
    """A file of `size` incompressible bytes, unique to its label and never whole in memory."""

    def __init__(self, *, label: str, size: int) -> None:
        super().__init__(None, name=label)
        self.size = size
        self._head = sha256(label.encode()).digest()
        self._block = make_random(label).randbytes(min(size, BLOCK_BYTES))

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        remaining, head = self.size, self._head
        while remaining > 0:
            chunk = (head + self._block[len(head) :])[:remaining]
            yield chunk
            remaining -= len(chunk)
            head = b""

    def sha256(self) -> str:
        digest = sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def store_files(room: Room, *, files: int, size: int, label: str, now: datetime) -> list[RoomMedia]:
    """Store so many files for a room, with their rows in `sw_media`.

    Returns the rows that attach them to the room, not saved. The same label and size give the same
    bytes; bytes that the tenant already has are not stored again. Infected files have a row and no
    bytes.
    """
    attachments = []
    for number in range(files):
        is_duplicate = number % _DUPLICATE_INTERVAL == _DUPLICATE_INTERVAL - 1
        content_number = number - 1 if is_duplicate else number
        file = GeneratedFile(label=f"{label}/{content_number}", size=size)
        attachments.append(
            RoomMedia(
                tenant=room.tenant,
                room=room,
                media=_get_or_store(room.tenant, file, content_number, now),
                name=f"{number} {FILE_NAMES[number % len(FILE_NAMES)]}",
                created_at=now,
            )
        )
    return attachments


def _get_or_store(tenant: Tenant, file: GeneratedFile, number: int, now: datetime) -> Media:
    """Store the bytes before the row."""
    digest = file.sha256()
    if media := Media.objects.filter(tenant=tenant, sha256=digest).first():
        return media
    is_infected = number % _INFECTED_INTERVAL == _INFECTED_INTERVAL - 1
    media = Media(
        tenant=tenant,
        sha256=digest,
        size=file.size,
        mime_type=_TYPES[FILE_NAMES[number % len(FILE_NAMES)][-4:]],
        scan_status=ScanStatus.INFECTED if is_infected else ScanStatus.CLEAN,
        created_at=now,
    )
    if not is_infected:
        default_storage.save(media.storage_name, file)
    media.save(force_insert=True)
    return media
