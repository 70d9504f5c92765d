"""Made-up attachments: bytes in the media store, and rows that say which room shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from django.core.files.base import File
from django.core.files.storage import default_storage

from rooms.models import Media, Room, RoomMedia, ScanStatus
from rooms.services.seeding.text import FILE_NAMES, chance
from tenants.models import Tenant

if TYPE_CHECKING:
    _BytesFile = File[bytes]
else:
    _BytesFile = File  # which takes no parameter when it runs

BLOCK = 1024 * 1024
_TYPES = {".png": "image/png", ".pdf": "application/pdf", ".txt": "text/plain"}
# Of the files of a room, each so many-th one:
_SAME_BYTES = 10  # is the one before under another name
_INFECTED = 25  # was deleted by the scanner


class GeneratedFile(_BytesFile):
    """`size` bytes that don't compress and that no other label gives; never all in memory."""

    def __init__(self, *, label: str, size: int) -> None:
        super().__init__(None, name=label)
        self.size = size
        self._head = sha256(label.encode()).digest()
        self._block = chance(label).randbytes(min(size, BLOCK))

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        left, head = self.size, self._head
        while left > 0:
            chunk = (head + self._block[len(head) :])[:left]
            yield chunk
            left -= len(chunk)
            head = b""

    def sha256(self) -> str:
        digest = sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def keep_files(room: Room, *, files: int, size: int, label: str, now: datetime) -> list[RoomMedia]:
    """Put so many files for a room into the store, and what they are into `sw_media`.

    Returns the rows by which the room shows them, not saved. The same label and size give the same
    bytes, and bytes that the tenant has already are not stored twice. What the scanner has deleted
    has a row and no bytes.
    """
    shown = []
    for number in range(files):
        distinct = number - 1 if number % _SAME_BYTES == _SAME_BYTES - 1 else number
        media = _kept(
            room.tenant, GeneratedFile(label=f"{label}/{distinct}", size=size), distinct, now
        )
        name = f"{number} {FILE_NAMES[number % len(FILE_NAMES)]}"
        given = {"tenant": room.tenant, "room": room, "media": media}
        shown.append(RoomMedia(name=name, created_at=now, **given))
    return shown


def _kept(tenant: Tenant, content: GeneratedFile, number: int, now: datetime) -> Media:
    """The bytes are there before the row says so."""
    digest = content.sha256()
    if media := Media.objects.filter(tenant=tenant, sha256=digest).first():
        return media
    infected = number % _INFECTED == _INFECTED - 1
    media = Media(
        tenant=tenant,
        sha256=digest,
        size=content.size,
        mime_type=_TYPES[FILE_NAMES[number % len(FILE_NAMES)][-4:]],
        scan_status=ScanStatus.INFECTED if infected else ScanStatus.CLEAN,
        created_at=now,
    )
    if not infected:
        default_storage.save(media.storage_name, content)
    media.save(force_insert=True)
    return media
