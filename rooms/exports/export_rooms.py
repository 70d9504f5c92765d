"""Export all rooms of a tenant, each into its own file; can be interrupted and run again."""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from federation.keys.signing import own_keys
from rooms.bundle.archive.reader import Archive
from rooms.bundle.chain import open_chain
from rooms.bundle.chain_files import find_last_base, list_bundles, open_bundle_file
from rooms.bundle.format import SIGNATURE
from rooms.bundle.manifest.schema import MediaEntry, TimeWindow
from rooms.bundle.signature import VerificationStatus, read_signature, verify_signature
from rooms.errors import BundleChainOther, BundleError, ExportChainFull, ExportIncomplete
from rooms.exports.existing import is_up_to_date
from rooms.exports.export_room import (
    ExportOptions,
    ExportResult,
    build_damage_error,
    load_signer,
    start_export,
)
from rooms.exports.increments import start_increment
from rooms.exports.sinks import (
    lock_directory,
    record_written,
    write_draft,
    write_drafts,
    write_to_file,
)
from rooms.exports.snapshot import open_read_connection
from rooms.lookup.export_metadata import export_blocker
from rooms.lookup.visibility import visible_rooms
from rooms.models import Room
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.console.text import pluralize
from scaiwave.core.errors import DiskFull, DomainError, UsageError
from scaiwave.core.files import translate_disk_full
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.models import Tenant

_MAX_UNSYNCED = 8
"""Files that wait for the disk at a time. A file system syncs several with one write."""
_BATCH_ROOMS = 200


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
    media: Sequence[MediaEntry] = ()
    """All attachments of a room with a chain."""

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
class ChainOptions:
    """Export the changes: a base, then at most `full_every` increments, then a new base.

    `max_bytes` limits each bundle that is read.
    """

    full_every: int
    even_if_empty: bool
    max_bytes: int


@dataclass(frozen=True)
class BulkExportOptions:
    """What is written where. `progress` counts rooms.

    With `chains`, the next bundle of `<room-id>/0000.zip`, `0001.zip` and so on is written, if the
    room has changed. A `<room-id>.zip` of an earlier export becomes the first one.
    """

    directory: Path
    window: TimeWindow
    with_media: bool
    clock: Callable[[], datetime]
    chains: ChainOptions | None = None
    progress: ProgressCallback = null_progress


@dataclass(frozen=True)
class _BulkExport:
    operator: Operator
    options: BulkExportOptions
    syncing: Executor
    read_connection: sqlite3.Connection | None

    def build_options(self) -> ExportOptions:
        options, now = self.options, self.options.clock()
        signer, read_connection = load_signer(now), self.read_connection
        return ExportOptions(
            options.window, options.with_media, now, signer, null_progress, read_connection
        )


def export_rooms(*, operator: Operator, tenant: str, **options: Any) -> Report:
    """Write `<room-id>.zip` for each room; a complete bundle that exists already is kept.

    The options are of `BulkExportOptions`. Rooms that can't be exported are listed as refused. A
    room that fails does not stop the others.

    Raises `TenantNotFound`, `AmbiguousName`, `UsageError`, `ExportRunning`, `DiskFull`,
    `KeyUnreadable`, `KeyDamaged` or a database error; the next run then continues.
    """
    operator.require(Permission.EXPORT_ROOMS)
    resolved = resolve_tenant(operator, tenant)
    rows: list[Row] = []
    damaged: list[str] = []
    with closing(iter_room_exports(operator=operator, tenant=resolved, **options)) as outcomes:
        for outcome in outcomes:
            rows.append(outcome.row())
            damaged += outcome.result.damaged if outcome.result else ()
    found = Counter(row["outcome"] for row in rows)
    counts = {outcome.value: found[outcome.value] for outcome in ExportOutcome}
    what = pluralize(len(rows), "room")
    listed = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items() if count)
    error: DomainError | None = build_damage_error(damaged) if damaged else None
    if failed := counts["failed"]:
        error = ExportIncomplete(f"Export failed for {failed:,} of {what}.")
    sentence = f"{what}: {listed}." if rows else "The tenant has no rooms."
    return Report({"rooms": rows, **counts}, sentence, error=error)


def iter_room_exports(
    *, operator: Operator, tenant: Tenant, **options: Any
) -> Generator[RoomOutcome]:
    """Export each room as `export_rooms` does, and yield its outcome.

    A room is exported while the files of those before are being synced.
    """
    operator.require(Permission.EXPORT_ROOMS)
    rooms = visible_rooms(operator).filter(tenant=tenant)
    wanted = BulkExportOptions(**options)
    directory = wanted.directory
    create_directory(directory)
    with (
        lock_directory(directory),
        write_drafts(directory),
        ThreadPoolExecutor(_MAX_UNSYNCED) as syncing,
        open_read_connection() as read_connection,
    ):
        run = _BulkExport(operator, wanted, syncing, read_connection)
        pending: deque[Callable[[], RoomOutcome]] = deque()
        total = rooms.count()
        for number, room in enumerate(_iter_rooms(rooms)):
            wanted.progress(number, total)
            pending.append(_export_one(run, room))
            if len(pending) > _MAX_UNSYNCED:
                yield pending.popleft()()
        while pending:
            yield pending.popleft()()


def _iter_rooms(rooms: QuerySet[Room]) -> Iterator[Room]:
    """Read some rooms at a time: a cursor would stay open for the hours of an export."""
    remaining = rooms.select_related("tenant").order_by("pk")
    batch = list(remaining[:_BATCH_ROOMS])
    while batch:
        yield from batch
        batch = list(remaining.filter(pk__gt=batch[-1].pk)[:_BATCH_ROOMS])


def _export_one(run: _BulkExport, room: Room) -> Callable[[], RoomOutcome]:
    """Return a function that waits until the file is complete, and returns the outcome."""
    wanted = run.options
    if (reason := export_blocker(room)) is not None:
        return partial(RoomOutcome, room, ExportOutcome.REFUSED, reason=reason)
    if wanted.chains:
        return partial(_export_next, run, room, wanted.chains)
    target = wanted.directory / f"{room.pk}.zip"
    if is_up_to_date(target, room, window=wanted.window, with_media=wanted.with_media):
        return partial(RoomOutcome, room, ExportOutcome.KEPT, target)
    options = run.build_options()
    start = partial(start_export, operator=run.operator, room=room, options=options)
    try:
        result, publish = write_draft(start, target, overwrite=True)
    except DiskFull:
        raise  # The next room would not fit either.
    except DomainError as error:
        return partial(RoomOutcome, room, ExportOutcome.FAILED, reason=error.message)
    return partial(_wait, room, target, result, run.syncing.submit(publish))


def _export_next(run: _BulkExport, room: Room, chains: ChainOptions) -> RoomOutcome:
    """Write the next increment of the chain of a room, or a new base."""
    directory, operator = run.options.directory / str(room.pk), run.operator
    try:
        if directory.is_symlink():
            raise UsageError(f"{directory} is a symbolic link.", fix="Remove it.")
        create_directory(directory)
        with lock_directory(directory, room=room):
            options = run.build_options()
            files = list_bundles(directory) or _adopt(room, directory, chains)
            target = directory / f"{int(files[-1].stem) + 1 if files else 0:04}.zip"
            since, result = files[find_last_base(files) :], None
            foreign = _find_foreign(since, chains.max_bytes) if options.signer else None
            if since and len(since) <= chains.full_every and not foreign:
                with (
                    suppress(ExportChainFull),
                    start_increment(
                        operator=operator,
                        room=room,
                        options=options,
                        since=since,
                        max_bytes=chains.max_bytes,
                    ) as export,
                ):
                    result = export.write(target, even_if_empty=chains.even_if_empty)
            if result is None:
                start = partial(start_export, operator=operator, room=room, options=options)
                result = write_to_file(start, target, overwrite=False)
    except DiskFull:
        raise  # The next room would not fit either.
    except (DomainError, UsageError) as error:  # such as an increment that is a directory
        return RoomOutcome(room, ExportOutcome.FAILED, reason=error.message)
    if not result.size:
        reason, media = "nothing has changed", result.room_media
        return RoomOutcome(room, ExportOutcome.KEPT, since[-1], reason=reason, media=media)
    why = f"a new base, since no key of this server has signed {foreign.name}" if foreign else None
    return RoomOutcome(room, ExportOutcome.EXPORTED, target, result, why, result.room_media)


def _find_foreign(bundles: Sequence[Path], max_bytes: int) -> Path | None:
    """Return an increment that no key of this server has signed."""
    keys = own_keys()
    for path in bundles:
        # Reading the chain reports a file that is damaged.
        with open_bundle_file(path) as file, suppress(BundleError):
            archive = Archive(file, max_bytes)
            if SIGNATURE not in archive.entries:
                return path
            signature = read_signature(archive.iter_entry(SIGNATURE), lambda entry: None)
            if verify_signature(signature, keys).status is not VerificationStatus.VALID:
                return path
    return None


def _adopt(room: Room, directory: Path, chains: ChainOptions) -> list[Path]:
    """Make the bundle of an earlier export the base of the chain. Raises `BundleError`."""
    found = directory.with_suffix(".zip")
    if not found.exists():
        return []
    with (
        open_bundle_file(found) as file,
        open_chain([(str(found), file)], max_bytes=chains.max_bytes) as base,
    ):
        if base.state.room.id != str(room.pk):
            raise BundleChainOther(f"{found} is of room {base.state.room.id}.")
    return [found.rename(directory / "0000.zip")]


def _wait(room: Room, target: Path, result: ExportResult, published: Future[None]) -> RoomOutcome:
    try:
        published.result()
    except DiskFull:
        raise
    except DomainError as error:
        return RoomOutcome(room, ExportOutcome.FAILED, reason=error.message)
    record_written(target)
    return RoomOutcome(room, ExportOutcome.EXPORTED, target, result)


def create_directory(directory: Path) -> None:
    """Create a directory of exports, for its owner only. Raises `UsageError`."""
    try:  # For its owner only, but not the path above it, which may be a typo.
        with translate_disk_full(f"Not enough disk space to create {directory}."):
            directory.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        raise UsageError(
            f"{directory} is not a directory and can't be created.",
            fix="Pass a directory whose parent directory exists.",
        ) from None
