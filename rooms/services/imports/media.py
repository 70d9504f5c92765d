"""The attachments of a bundle: which come in, which are here already, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from io import RawIOBase
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast
from uuid import UUID

from django.core.files.base import File
from django.core.files.storage import default_storage

from rooms.bundle.format import INFECTED
from rooms.errors import NOTHING_DONE, BundleDamaged
from rooms.models import Media, Room, RoomMedia, ScanStatus
from rooms.queries.media import exists_with_size
from rooms.services.imports.source import disk_full_as
from scaiwave.batching import batches
from scaiwave.console.progress import ProgressCallback
from scaiwave.error_mapping import map_storage_error

if TYPE_CHECKING:
    from rooms.bundle.reader import MediaRow


@dataclass
class MediaPlan:
    """What becomes of each file; lists have one row of the manifest for each hash.

    `put`: its bytes go into the store. `new`: the tenant gets a row of it. `shown`: the room shows
    it, so its ids lead to the tenant's row. The bundle's word for a hash alone is never enough for
    that: whoever knows the hash of a file would get the file. What it says of a scan counts only
    if it is `trusted`, signed by a known key: else what is new waits to be scanned.
    """

    rows: list[MediaRow]
    trusted: bool
    put: list[MediaRow] = field(default_factory=list)
    new: list[MediaRow] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    already_there: int = 0
    infected: int = 0
    missing: int = 0

    @property
    def added_bytes(self) -> int:
        """What the tenant's storage grows by; infected files count for nothing."""
        return sum(row.size for row in self.new if not _is_infected(row))


def plan_media(tenant_id: UUID, rows: Iterable[MediaRow], *, trusted: bool) -> MediaPlan:
    """Compare the bundle's files with the tenant's rows and the store. Writes nothing."""
    plan = MediaPlan(list(rows), trusted)
    one_each = {row.sha256: row for row in plan.rows}
    for batch in batches(one_each):
        here = {row.sha256: row for row in _tenants_media(tenant_id, batch)}
        for key in batch:
            _plan_file(plan, one_each[key], here.get(key))
    return plan


def _tenants_media(tenant_id: UUID, hashes: list[str]) -> Iterable[Media]:
    return Media.objects.filter(tenant_id=tenant_id, sha256__in=hashes)


def _plan_file(plan: MediaPlan, row: MediaRow, here: Media | None) -> None:
    infected_here = here is not None and here.scan_status == ScanStatus.INFECTED
    if infected_here or _is_infected(row):
        plan.infected += 1
        if here is None and plan.trusted:
            plan.new.append(row)
        if infected_here or (here is None and plan.trusted):
            plan.shown.add(row.sha256)
    elif row.missing is not None:
        plan.missing += 1
    else:
        plan.shown.add(row.sha256)
        if here is None:
            plan.new.append(row)
        # A row does not prove that there is a file.
        if here is None or not exists_with_size(here.storage_name, here.size):
            plan.put.append(row)
        else:
            plan.already_there += 1


def _is_infected(row: MediaRow) -> bool:
    return row.missing == INFECTED or row.scan_status == ScanStatus.INFECTED


def store_files(
    plan: MediaPlan,
    *,
    tenant_id: UUID,
    open_media: Callable[[str], BinaryIO],
    progress: ProgressCallback,
) -> None:
    """Put the bytes into the store. Raises `DiskFull`, `MediaStoreUnusable`, `BundleDamaged`."""
    done, total = 0, sum(row.size for row in plan.put)
    for row in plan.put:
        progress(done, total)
        name = Media(tenant_id=tenant_id, sha256=row.sha256).storage_name
        with open_media(row.sha256) as source, _into_store():
            default_storage.save(name, File(cast(IO[bytes], _Hashed(source, row)), name))
        done += row.size
    progress(done, total)


@contextmanager
def _into_store() -> Iterator[None]:
    fix = f"{NOTHING_DONE} Free some space, then run the same command again."
    try:
        with disk_full_as("The media store has no room left.", fix=fix):
            yield
    except OSError as error:
        raise map_storage_error(error) from error


class _Hashed(RawIOBase):
    """Reads a file and, before it gives the last of it, looks whether its hash is right: between
    the check and this a file that is read where it lies can have been changed.

    Not only at its end, since a store that knows the size need not read on to there.
    """

    def __init__(self, source: BinaryIO, row: MediaRow) -> None:
        self._source = source
        self._row = row
        self._hash = sha256()
        self._left = row.size
        self.size = row.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._source.read(len(buffer))
        self._hash.update(chunk)
        self._left -= len(chunk)
        if (self._left <= 0 or not chunk) and self._hash.hexdigest() != self._row.sha256:
            raise BundleDamaged(f"The bytes of {self._row.name} are not what their hash says.")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def write_media(plan: MediaPlan, *, room: Room, now: datetime) -> dict[str, str]:
    """Write the rows of the files and of the room that shows them; call it in a transaction.

    Returns the new id of each media id of the bundle whose file is here. Rows are written by
    ascending hash: two imports of the same files wait for each other instead of for ever.
    """
    new = {row.sha256: row for row in plan.new}
    ids: dict[str, str] = {}
    for batch in batches(sorted(plan.shown)):
        rows = [_media(new[key], room.tenant_id, plan, now) for key in batch if key in new]
        Media.objects.bulk_create(rows, ignore_conflicts=True)
        found = _tenants_media(room.tenant_id, batch)
        ids.update((media.sha256, str(media.pk)) for media in found)
    for links in batches(_links(plan, ids, room, now)):
        RoomMedia.objects.bulk_create(links)
    return {row.media_id: ids[row.sha256] for row in plan.rows if row.sha256 in ids}


def _media(row: MediaRow, tenant_id: UUID, plan: MediaPlan, now: datetime) -> Media:
    told = ScanStatus.INFECTED if _is_infected(row) else row.scan_status
    return Media(
        tenant_id=tenant_id,
        sha256=row.sha256,
        size=row.size,
        mime_type=row.mime_type,
        scan_status=told if plan.trusted else ScanStatus.PENDING,
        created_at=now,
    )


def _links(plan: MediaPlan, ids: dict[str, str], room: Room, now: datetime) -> Iterator[RoomMedia]:
    for row in plan.rows:
        if row.sha256 in ids:
            yield RoomMedia(
                tenant_id=room.tenant_id,
                room=room,
                media_id=ids[row.sha256],
                name=row.name,
                created_at=now,
            )
