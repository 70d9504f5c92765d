"""Generate attachments: files in the media store, and the rows of their rooms."""

from __future__ import annotations

import os
from datetime import datetime
from hashlib import file_digest, sha256
from io import RawIOBase
from typing import IO, Any, cast

from django.core.files.base import File
from django.core.files.storage import default_storage

from rooms.models import Media, Room, RoomMedia, ScanStatus
from rooms.seeding.text import FILE_NAMES, make_random
from tenants.models import Tenant

BLOCK_BYTES = 1024 * 1024
_TYPES = {".png": "image/png", ".pdf": "application/pdf", ".txt": "text/plain"}
# Every tenth file of a room has the bytes of the one before, under another name.
_DUPLICATE_INTERVAL = 10
# Every 25th file was deleted by the scanner.
_INFECTED_INTERVAL = 25


class GeneratedFile(RawIOBase):
    """A file of `size` incompressible bytes, unique to its label and never whole in memory."""

    def __init__(self, *, label: str, size: int) -> None:
        head = sha256(label.encode()).digest()
        self.size = size
        self._block = make_random(label).randbytes(min(size, BLOCK_BYTES))
        self._first_block = head + self._block[len(head) :]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as in a file that exists: a bucket's client reads a part again if that failed."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, except at the end: a bucket's client makes a part of each read."""
        filled = 0
        while filled < len(buffer) and self._position < self.size:
            block = self._first_block if self._position < BLOCK_BYTES else self._block
            begin = self._position % BLOCK_BYTES
            rest = min(len(buffer) - filled, self.size - self._position)
            part = block[begin : begin + rest]
            buffer[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def sha256(self) -> str:
        self.seek(0)
        return file_digest(self, sha256).hexdigest()


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
        file.seek(0)
        default_storage.save(media.storage_name, File(cast(IO[bytes], file)))
    media.save(force_insert=True)
    return media
