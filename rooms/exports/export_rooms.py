"""Export all rooms of a tenant, each into its own file; can be interrupted and run again."""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from hashlib import sha256
from pathlib import Path

from rooms.bundle.manifest.schema import TimeWindow
from rooms.errors import ExportRunning
from rooms.exports.existing import is_up_to_date
from rooms.exports.export_room import (
    ExportOptions,
    ExportResult,
    load_signer,
    start_export,
)
from rooms.exports.sinks import record_written, write_draft, write_drafts
from rooms.exports.snapshot import open_read_connection
from rooms.lookup.export_metadata import export_blocker
from rooms.lookup.visibility import visible_rooms
from rooms.models import Room
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.console.text import pluralize
from scaiwave.core.errors import DiskFull, DomainError, UsageError
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row

_MAX_UNSYNCED = 8
"""Files that wait for the disk at a time. A file system syncs several with one write."""


class ExportOutcome(Enum):
    EXPORTED = "exported"
    KEPT = "kept"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class RoomOutcome:
    """The outcome for one room: its file, and the result of a new export or why there isn't one."""

    room: Room
    outcome: ExportOutcome
    file: Path | None = None
    result: ExportResult | None = None
    reason: str | None = None

    def row(self) -> Row:
        result = self.result
        return {
            "id": self.room.pk,
            "name": str(self.room),
            "outcome": self.outcome.value,
            "events": result.events if result else None,
            "media": result.media if result else None,
            "missing_media": result.missing.total() if result else None,
            "size_bytes": self.file.stat().st_size if self.file else None,
            "file": str(self.file) if self.file else None,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class BulkExportResult:
    rooms: Sequence[Row]

    def count(self, outcome: ExportOutcome) -> int:
        return Counter(row["outcome"] for row in self.rooms)[outcome.value]

    def document(self) -> Row:
        counts = {outcome.value: self.count(outcome) for outcome in ExportOutcome}
        return {"rooms": list(self.rooms), **counts}

    @property
    def sentence(self) -> str:
        """For example: 12 rooms: 9 exported, 2 kept, 1 refused."""
        if not self.rooms:
            return "The tenant has no rooms."
        counts = ((self.count(outcome), outcome.value) for outcome in ExportOutcome)
        listed = ", ".join(f"{count:,} {outcome}" for count, outcome in counts if count)
        return f"{pluralize(len(self.rooms), 'room')}: {listed}."


@dataclass(frozen=True)
class _BulkExportContext:
    operator: Operator
    directory: Path
    window: TimeWindow
    with_media: bool
    clock: Callable[[], datetime]
    syncing: Executor
    read_connection: sqlite3.Connection | None


def export_rooms(
    *,
    operator: Operator,
    tenant: str,
    directory: Path,
    window: TimeWindow,
    with_media: bool,
    clock: Callable[[], datetime],
    progress: ProgressCallback = null_progress,
) -> BulkExportResult:
    """Write `<room-id>.zip` for each room; a complete bundle that exists already is kept.

    Rooms that can't be exported are listed as refused. A room that fails does not stop the others.
    `progress` counts rooms.

    Raises `TenantNotFound`, `AmbiguousName`, `UsageError`, `ExportRunning`, `DiskFull`,
    `KeyUnreadable`, `KeyDamaged` or a database error; the next run then continues.
    """
    operator.require(Permission.EXPORT_ROOMS)
    resolved = resolve_tenant(operator, tenant)
    rooms = list(
        visible_rooms(operator).filter(tenant=resolved).select_related("tenant").order_by("pk")
    )
    with (
        _lock_directory(directory),
        write_drafts(directory),
        ThreadPoolExecutor(_MAX_UNSYNCED) as syncing,
        open_read_connection() as read_connection,
    ):
        context = _BulkExportContext(
            operator, directory, window, with_media, clock, syncing, read_connection
        )
        outcomes = list(_iter_outcomes(context, rooms, progress))
    return BulkExportResult([outcome.row() for outcome in outcomes])


def _iter_outcomes(
    context: _BulkExportContext, rooms: list[Room], progress: ProgressCallback
) -> Iterator[RoomOutcome]:
    """Export a room while the files of those before are being synced."""
    pending: deque[Callable[[], RoomOutcome]] = deque()
    for number, room in enumerate(rooms):
        progress(number, len(rooms))
        pending.append(_export_one(context, room))
        if len(pending) > _MAX_UNSYNCED:
            yield pending.popleft()()
    while pending:
        yield pending.popleft()()


def _export_one(context: _BulkExportContext, room: Room) -> Callable[[], RoomOutcome]:
    """Return a function that waits until the file is complete, and returns the outcome."""
    if (reason := export_blocker(room)) is not None:
        return partial(RoomOutcome, room, ExportOutcome.REFUSED, reason=reason)
    target = context.directory / f"{room.pk}.zip"
    if is_up_to_date(target, room, window=context.window, with_media=context.with_media):
        return partial(RoomOutcome, room, ExportOutcome.KEPT, target)
    now = context.clock()
    options = ExportOptions(
        context.window,
        context.with_media,
        now,
        load_signer(now),
        null_progress,
        context.read_connection,
    )
    start = partial(start_export, operator=context.operator, room=room, options=options)
    try:
        result, publish = write_draft(start, target, overwrite=True)
    except DiskFull:
        raise  # The next room would not fit either.
    except DomainError as error:
        return partial(RoomOutcome, room, ExportOutcome.FAILED, reason=error.message)
    return partial(_wait, room, target, result, context.syncing.submit(publish))


def _wait(room: Room, target: Path, result: ExportResult, published: Future[None]) -> RoomOutcome:
    try:
        published.result()
    except DiskFull:
        raise
    except DomainError as error:
        return RoomOutcome(room, ExportOutcome.FAILED, reason=error.message)
    record_written(target)
    return RoomOutcome(room, ExportOutcome.EXPORTED, target, result)


@contextmanager
def _lock_directory(directory: Path) -> Iterator[None]:
    """Create the directory, and let one export at a time write to it.

    So no drafts in use are removed.
    """
    try:  # For its owner only, but not the path above it, which may be a typo.
        directory.mkdir(mode=0o700, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError):
        raise UsageError(
            f"{directory} is not a directory and can't be created.",
            fix="Pass a directory whose parent directory exists.",
        ) from None
    resolved = str(directory.resolve()).encode(errors="surrogateescape")
    with process_lock(f"export-{sha256(resolved).hexdigest()[:16]}") as acquired:
        if not acquired:
            raise ExportRunning(f"Another export into {directory} is in progress.")
        yield
