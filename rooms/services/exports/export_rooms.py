"""Carry all rooms of a tenant out, each into a file of its own; may be broken off and run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from rooms.bundle.time_window import Window
from rooms.errors import ExportRunning
from rooms.models import Room
from rooms.queries.exportable import export_blocker
from rooms.queries.visibility import visible_rooms
from rooms.services.bundle_signer import own_signer
from rooms.services.exported_rooms import BulkExportResult, ExportOutcome, RoomOutcome
from rooms.services.exports.existing import is_up_to_date
from rooms.services.exports.export_room import ExportOptions, start_export
from rooms.services.exports.sinks import DRAFT, write_to_file
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.errors import DiskFull, DomainError, UsageError
from scaiwave.locks import process_lock
from tenants.queries.resolve import parse_uuid, resolve_tenant


@dataclass(frozen=True)
class _Errand:
    operator: Operator
    folder: Path
    window: Window
    with_media: bool
    clock: Callable[[], datetime]


def export_rooms(
    *,
    operator: Operator,
    tenant: str,
    folder: Path,
    window: Window,
    with_media: bool,
    clock: Callable[[], datetime],
    progress: ProgressCallback = null_progress,
) -> BulkExportResult:
    """Write `<room-id>.zip` for each room; a whole bundle that is there already is kept.

    Rooms that may not be exported are named; a room that fails does not keep the others from
    being exported. `progress` counts rooms.

    Raises TenantNotFound, AmbiguousName, UsageError, ExportRunning, DiskFull, KeyUnreadable,
    KeyDamaged, and what the database raises: then the next run goes on where this one stopped.
    """
    operator.require(Permission.CARRY_ROOMS)
    within = resolve_tenant(operator, tenant)
    rooms = list(
        visible_rooms(operator).filter(tenant=within).select_related("tenant").order_by("pk")
    )
    errand = _Errand(operator, folder, window, with_media, clock)
    carried = []
    with _alone_in(folder):
        _remove_drafts(folder)
        for number, room in enumerate(rooms):
            progress(number, len(rooms))
            carried.append(_carried(errand, room))
    return BulkExportResult([one.row() for one in carried])


def _carried(errand: _Errand, room: Room) -> RoomOutcome:
    if (why := export_blocker(room)) is not None:
        return RoomOutcome(room, ExportOutcome.REFUSED, reason=why)
    target = errand.folder / f"{room.pk}.zip"
    if is_up_to_date(target, room, window=errand.window, with_media=errand.with_media):
        return RoomOutcome(room, ExportOutcome.KEPT, target)
    now = errand.clock()
    wanted = ExportOptions(errand.window, errand.with_media, now, own_signer(now), null_progress)
    begin = partial(start_export, operator=errand.operator, room=room, wanted=wanted)
    try:
        return RoomOutcome(room, ExportOutcome.EXPORTED, target, write_to_file(begin, target))
    except DiskFull:
        raise  # no fault of this room; the next one would not fit either
    except DomainError as error:
        return RoomOutcome(room, ExportOutcome.FAILED, reason=error.message)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Another one's drafts must not be taken for those of one that was killed."""
    _make(folder)
    name = sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]
    with process_lock(f"export-{name}") as free:
        if not free:
            raise ExportRunning(f"Another export into {folder} is running.")
        yield


def _make(folder: Path) -> None:
    """The folder itself, for its owner alone; a misspelt path above it is not made up."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError):
        raise UsageError(
            f"{folder} is no folder, and can't be made one.", fix="Name another one."
        ) from None


def _remove_drafts(folder: Path) -> None:
    for path in folder.glob(f".*.zip.*{DRAFT}"):
        if parse_uuid(path.name[1:].partition(".")[0]) is not None:
            path.unlink(missing_ok=True)
