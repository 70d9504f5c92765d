"""Plan what happens to the attachments of a bundle, store the files, and write their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from io import RawIOBase
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast
from uuid import UUID

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import connection

from rooms.bundle.format import INFECTED
from rooms.errors import NOTHING_IMPORTED, BundleDamaged, ImportRunning
from rooms.lookup.media import exists_with_size
from rooms.models import Media, Room, RoomMedia, ScanStatus
from rooms.models.media import get_storage_name
from scaiwave.console.progress import ProgressCallback
from scaiwave.core.files import translate_disk_full
from scaiwave.core.sql import batched, execute
from scaiwave.storage.error_mapping import map_storage_error

if TYPE_CHECKING:
    from rooms.bundle.manifest.schema import MediaEntry


@dataclass
class MediaPlan:
    """What happens to each file. The lists have one entry of the manifest per hash.

    `to_store`: the bytes are stored. `new`: the tenant gets a media row. `attached`: the room shows
    the file, so its IDs lead to the tenant's row. A hash in the bundle alone never attaches a file,
    since anyone who knows a file's hash could then get the file. The bundle's scan result counts
    only if it is `trusted`, that is signed with a known key; otherwise a new file is scanned again.
    """

    entries: list[MediaEntry]
    trusted: bool
    to_store: list[MediaEntry] = field(default_factory=list)
    new: list[MediaEntry] = field(default_factory=list)
    attached: set[str] = field(default_factory=set)
    already_there: int = 0
    infected: int = 0
    missing: int = 0

    @property
    def added_bytes(self) -> int:
        """Return by how much the tenant's storage grows; infected files count as nothing."""
        return sum(entry.size for entry in self.new if not _is_infected(entry))


def plan_media(tenant_id: UUID, entries: Iterable[MediaEntry], *, trusted: bool) -> MediaPlan:
    """Compare the bundle's files with the tenant's rows and the store. Writes nothing."""
    plan = MediaPlan(list(entries), trusted)
    by_hash = {entry.sha256: entry for entry in plan.entries}
    for batch in batched(by_hash):
        existing = {media.sha256: media for media in _find_media(tenant_id, batch)}
        for key in batch:
            _plan_file(plan, by_hash[key], existing.get(key))
    return plan


def _find_media(tenant_id: UUID, hashes: list[str]) -> Iterable[Media]:
    return Media.objects.filter(tenant_id=tenant_id, sha256__in=hashes)


def _plan_file(plan: MediaPlan, entry: MediaEntry, existing: Media | None) -> None:
    is_known_infected = existing is not None and existing.scan_status == ScanStatus.INFECTED
    if is_known_infected or _is_infected(entry):
        plan.infected += 1
        if existing is None and plan.trusted:
            plan.new.append(entry)
        if is_known_infected or (existing is None and plan.trusted):
            plan.attached.add(entry.sha256)
    elif entry.missing is not None:
        plan.missing += 1
    else:
        plan.attached.add(entry.sha256)
        if existing is None:
            plan.new.append(entry)
        # A row does not prove that there is a file.
        if existing is None or not exists_with_size(existing.storage_name, existing.size):
            plan.to_store.append(entry)
        else:
            plan.already_there += 1


def _is_infected(entry: MediaEntry) -> bool:
    return entry.missing == INFECTED or entry.scan_status == ScanStatus.INFECTED


def store_files(
    plan: MediaPlan,
    *,
    tenant_id: UUID,
    open_media: Callable[[str], BinaryIO],
    progress: ProgressCallback,
) -> None:
    """Put the bytes into the store. Raises `DiskFull`, `MediaStoreUnusable` or `BundleDamaged`."""
    fix = f"{NOTHING_IMPORTED} Free some space, then run the same command again."
    done, total = 0, sum(entry.size for entry in plan.to_store)
    for entry in plan.to_store:
        progress(done, total)
        name = get_storage_name(tenant_id, entry.sha256)
        with open_media(entry.sha256) as source:
            file = File(cast(IO[bytes], _HashCheckingReader(source, entry)), name)
            try:
                with translate_disk_full("Not enough space in the media store.", fix=fix):
                    default_storage.save(name, file)
            except OSError as error:
                raise map_storage_error(error) from error
        done += entry.size
    progress(done, total)


class _HashCheckingReader(RawIOBase):
    """Reads a file and checks its hash before it returns the last byte.

    A file that is read in place may have been changed since the bundle was validated. The check is
    not left to the end of the file, since a store that knows the size need not read that far.
    """

    def __init__(self, source: BinaryIO, entry: MediaEntry) -> None:
        self._source = source
        self._entry = entry
        self._hash = sha256()
        self._remaining = entry.size
        self.size = entry.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._source.read(len(buffer))
        self._hash.update(chunk)
        self._remaining -= len(chunk)
        if (self._remaining <= 0 or not chunk) and self._hash.hexdigest() != self._entry.sha256:
            raise BundleDamaged(f"The bytes of {self._entry.name} do not match their hash.")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def write_media(plan: MediaPlan, *, room: Room, now: datetime) -> dict[str, str]:
    """Write the rows of the files, and attach them to the room. Call in a transaction.

    Returns the new ID of each media ID in the bundle whose file exists here. Rows are written in
    the order of their hashes, so that two imports of the same files can't deadlock.
    """
    new = {entry.sha256: entry for entry in plan.new}
    ids: dict[str, str] = {}
    for batch in batched(sorted(plan.attached)):
        rows = [_build_media(new[key], room.tenant_id, plan, now) for key in batch if key in new]
        Media.objects.bulk_create(rows, ignore_conflicts=True)
        if connection.vendor == "postgresql":
            # No one deletes these files until the transaction ends, even if no room has them yet.
            sql = (
                "SELECT 1 FROM sw_media WHERE tenant_id = %s AND sha256 = ANY(%s) "
                "ORDER BY sha256 FOR KEY SHARE"
            )
            execute(sql, [room.tenant_id, batch])
        media = _find_media(room.tenant_id, batch)
        ids.update((each.sha256, str(each.pk)) for each in media)
    if lost := plan.attached - ids.keys():
        raise ImportRunning(
            f"A file of the bundle was just deleted here: {min(lost)}.",
            fix=f"{NOTHING_IMPORTED} Run the same command again.",
        )
    entries = [entry for entry in plan.entries if entry.sha256 in ids]
    media_ids = {entry.media_id: ids[entry.sha256] for entry in entries}
    attach_files(room, entries, media_ids, now=now)
    return media_ids


def attach_files(
    room: Room, entries: Iterable[MediaEntry], media_ids: Mapping[str, str], *, now: datetime
) -> None:
    """Attach files to the room by their IDs here; an increment may list a name that it has."""
    for part in batched(entries):
        attached = [
            RoomMedia(
                tenant_id=room.tenant_id,
                room=room,
                media_id=media_ids[entry.media_id],
                name=entry.name,
                source_media_id=entry.media_id,
                created_at=now,
            )
            for entry in part
        ]
        RoomMedia.objects.bulk_create(attached, ignore_conflicts=True)


def _build_media(entry: MediaEntry, tenant_id: UUID, plan: MediaPlan, now: datetime) -> Media:
    scan_status = ScanStatus.INFECTED if _is_infected(entry) else entry.scan_status
    return Media(
        tenant_id=tenant_id,
        sha256=entry.sha256,
        size=entry.size,
        mime_type=entry.mime_type,
        scan_status=scan_status if plan.trusted else ScanStatus.PENDING,
        created_at=now,
    )
