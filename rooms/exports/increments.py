"""Export the changes in a room since a chain of bundles.

The room is compared with the chain event by event, by content: a position or a time would miss
events that were committed late, and rows that were changed without a mark.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from struct import Struct

import msgspec

from rooms.bundle.chain import (
    MAX_BUNDLES,
    RECORD_BYTES,
    ChainState,
    Item,
    StateBatch,
    compare,
    format_digest,
    join_change,
    open_chain,
)
from rooms.bundle.chain_files import open_bundle_file
from rooms.bundle.format import LOST, MAX_DELETED, format_id
from rooms.bundle.manifest.schema import (
    WHOLE_ROOM,
    ChainPosition,
    ChainTotals,
    Increment,
    IncrementSender,
    RemovedMedia,
    Sender,
)
from rooms.bundle.writer import BundleWriter
from rooms.errors import BundleChainOther, ExportBaseUnknown, ExportChainFull
from rooms.exports.chain_cache import (
    NAME,
    CachedChain,
    PageRecorder,
    mask_sender,
    read_cache,
    read_served,
    write_cache,
    write_served,
)
from rooms.exports.events import read_pages
from rooms.exports.export_room import (
    ExportOptions,
    ExportResult,
    ExportRun,
    IncrementCounts,
    RoomExport,
    audit_export,
    load_signer,
    resolve_own_room,
)
from rooms.exports.sinks import lock_directory, write_drafts, write_to_file, write_to_stream
from rooms.lookup.media import is_intact
from rooms.lookup.resolve import resolve_room
from rooms.models import Room
from rooms.models.media import get_storage_name
from scaiwave.console.progress import ProgressFactory, null_progress, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.files import close_temporary, translate_disk_full
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.temporary_index import open_index, translate_index_errors
from tenants.accounts.callers import Caller
from tenants.lookup.resolve import resolve_tenant

_TABLES = """
    CREATE TABLE gone (id BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE new (id BLOB PRIMARY KEY) WITHOUT ROWID;
"""
# Before each event in the spool: its length, its ID, and whether it is known to be changed.
_SPOOLED = Struct(">I16s?")


class IncrementRun(ExportRun):
    """The export of an increment. Call `find_changes`, then read `iter_parts`; `close` it."""

    def __init__(
        self,
        room: Room,
        options: ExportOptions,
        state: ChainState,
        before: Iterable[StateBatch],
        *,
        mask: Callable[[Sender], Sender] = lambda sender: sender,
        cached: CachedChain | None = None,
    ) -> None:
        super().__init__(room, options)
        self.recorder = PageRecorder(cached)
        self._mask = mask
        self.state = state
        self._before = before
        self._index = open_index(_TABLES)
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.deleted = self.added = self.changed = 0

    def get_time(self) -> datetime:
        """Return a time that is later than every edit in the snapshot.

        Reading the chain may take long. Where the increment is imported, a later edit counts as
        local.
        """
        return self.options.present

    def close(self) -> None:
        self._index.close()
        close_temporary(self._spool)
        self.recorder.close()

    def find_changes(self) -> bool:
        """Compare the room with the chain, and return whether anything has changed.

        Raises `BundleChainOther` if the chain is of another room or later, `ExportChainFull` if no
        reader would accept the increment, and `DiskFull`.
        """
        state = self.state
        if state.room.id != str(self.room.pk):
            raise BundleChainOther(
                f"The bundles are of room {state.room.id}, not of room {self.room.pk}."
            )
        with (
            translate_disk_full(f"Not enough disk space in {tempfile.gettempdir()}."),
            translate_index_errors(),
            self.open_snapshot() as read_connection,
            read_pages(
                self.room.pk, senders=self.header.senders, read_connection=read_connection
            ) as pages,
        ):
            if self.header.exported_at < state.exported_at:
                raise BundleChainOther(
                    f"The last bundle was exported at {state.exported_at}, which is later than now."
                )
            used = {
                sender_id
                for old, new in compare(self._before, self._describe(pages))
                for sender_id in self._store(old, new)
            }
        # One at another position than before is both gone and new.
        gone, new_count, moved = self._index.execute(
            "SELECT (SELECT count(*) FROM gone), count(*), count(gone.id) "
            "FROM new LEFT JOIN gone USING (id)"
        ).fetchone()
        self.deleted, self.added = gone - moved, new_count - moved
        self.changed -= self.added
        if self.deleted > MAX_DELETED or state.sequence + 1 >= MAX_BUNDLES:
            raise ExportChainFull(
                f"The next increment would be number {state.sequence + 1:,} and delete "
                f"{pluralize(self.deleted, 'event')}. A chain has at most {MAX_BUNDLES} bundles, "
                f"and an increment deletes at most {MAX_DELETED:,} events."
            )
        return self._build_increment(used)

    def _describe(self, pages: Iterable[bytes]) -> Iterator[StateBatch]:
        for batch in map(self.recorder.describe, pages):
            self.event_count += len(batch.records) // RECORD_BYTES
            self.options.progress(self.event_count, self.event_total)
            yield batch

    def _store(self, old: Item | None, new: Item | None) -> Iterator[str]:
        """Store a difference, and yield the sender of an event that the increment will have."""
        if old and not new:
            self._index.execute("INSERT INTO gone VALUES (?)", (old.event_id,))
        if new:
            if not new.text:
                raise RuntimeError("A page that has not changed differs from the chain.")
            key = new.event_id
            if not old:
                self._index.execute("INSERT INTO new VALUES (?)", (key,))
            self._spool.write(_SPOOLED.pack(len(new.text), key, old is not None))
            self._spool.write(new.text)
            self.changed += 1
            yield new.sender_id

    def _build_increment(self, used: set[str]) -> bool:
        """Turn the header of the whole room into the one of the increment."""
        header, state = self.header, self.state
        self.senders = header.senders
        self.media = {(entry.media_id, entry.name): entry for entry in header.media}
        removed = [RemovedMedia(*key) for key in state.media if key not in self.media]
        present = {entry.sha256 for entry in state.media.values() if entry.missing is None}
        for entry in header.media:
            before = state.media.get((entry.media_id, entry.name))
            if entry.sha256 in present:
                if entry.missing == LOST:
                    entry.missing = None  # An earlier bundle has the bytes.
            elif before and before.missing == LOST and entry.missing is None:
                # The file may be back, or still be damaged.
                name = get_storage_name(self.room.tenant_id, entry.sha256)
                entry.missing = None if is_intact(name, entry.sha256, entry.size) else LOST
        header.media = [entry for key, entry in self.media.items() if state.media.get(key) != entry]
        self._new_files = [entry for entry in header.media if entry.sha256 not in present]
        described = {
            key: _describe_sender(state.senders.get(key), header.senders[key], self._mask)
            for key in header.senders
        }
        header.senders = {
            key: sender for key, sender in described.items() if sender.change or key in used
        }
        header.increment = Increment(
            ChainPosition(state.root, state.tip, state.sequence + 1, state.exported_at),
            removed,
            ChainTotals(self.event_count, len(self.media), format_digest(self.recorder.digest)),
        )
        self.event_count = self.added + self.changed
        return bool(
            self.event_count
            or self.deleted
            or header.media
            or removed
            or header.room != state.room
            or any(sender.change for sender in described.values())
        )

    def iter_parts(self) -> Generator[bytes]:
        self.mark_damaged(self.header.media)
        self.writer = BundleWriter(self.header)
        rows = self._index.execute("SELECT id FROM gone EXCEPT SELECT id FROM new ORDER BY 1")
        deleted = (format_id(key) for (key,) in rows)
        yield from self.writer.encode_manifest(self._iter_events(), deleted)
        yield from self.iter_rest(self._new_files)

    def _iter_events(self) -> Iterator[bytes]:
        self._spool.seek(0)
        separator = b""
        while head := self._spool.read(_SPOOLED.size):
            length, key, is_changed = _SPOOLED.unpack(head)
            if not is_changed:
                found = self._index.execute("SELECT 1 FROM gone WHERE id = ?", (key,)).fetchone()
                is_changed = found is not None
            yield separator + join_change(self._spool.read(length), is_changed=is_changed)
            separator = b",\n"

    def build_result(self, size: int) -> ExportResult:
        increment = self.header.increment
        counts = IncrementCounts(
            self.state.sequence + 1,
            self.state.exported_at,
            self.added,
            self.changed,
            self.deleted,
            len(increment.media_removed) if increment else 0,
        )
        after = increment.after if increment else None
        media = list(self.media.values())
        return replace(super().build_result(size), increment=counts, after=after, room_media=media)

    def build_state(self, tip: str) -> ChainState:
        """Return the state after this increment."""
        header, state = self.header, self.state
        if (increment := header.increment) is None:
            raise RuntimeError("The changes were not looked for.")
        masked = {key: self._mask(sender) for key, sender in self.senders.items()}
        return ChainState(
            state.root, tip, increment.chain.sequence, header.exported_at, header.server_name,
            header.room, {**state.senders, **masked}, self.media, increment.after,
        )  # fmt: skip


def _describe_sender(
    before: Sender | None, now: Sender, mask: Callable[[Sender], Sender]
) -> IncrementSender:
    sender = IncrementSender(**msgspec.structs.asdict(now))
    if before is None:
        sender.change = "added"
    elif before != mask(now):
        sender.change = "changed"
        sender.previous_fqid = before.fqid if before.fqid != now.fqid else None
    return sender


class RecordedRun(ExportRun):
    """A whole export that keeps the records of its events, to begin a chain on this server."""

    def iter_parts(self) -> Generator[bytes]:
        with closing(PageRecorder()) as self._recorder:
            yield from super().iter_parts()
            tip, digest = self.writer.manifest_sha256, format_digest(self._recorder.digest)
            state = ChainState.from_base(tip, self.header, self.event_count, digest)
            state.senders = {key: mask_sender(each) for key, each in state.senders.items()}
            write_served([tip], state, self._recorder)

    def _stream_events(
        self, total: int, read_connection: sqlite3.Connection | None
    ) -> Generator[bytes]:
        separator = b""
        with read_pages(
            self.room.pk, senders=self.header.senders, read_connection=read_connection
        ) as pages:
            for texts in (self._recorder.describe(page).texts for page in pages):
                self.event_count += len(texts)
                yield separator + b",\n".join(texts)
                separator = b",\n"


class _ServedExport(RoomExport):
    """An increment over HTTP; closes its run, and keeps the state after it."""

    _run: IncrementRun

    def __init__(self, run: IncrementRun, cached: CachedChain) -> None:
        super().__init__(run)
        self._cached = cached
        with ExitStack() as stack:
            stack.callback(self.close)
            self.has_changes = run.find_changes()
            stack.pop_all()

    def _finish(self, size: int) -> ExportResult:
        run, tip = self._run, self._run.writer.manifest_sha256
        write_served([*self._cached.bundles, tip], run.build_state(tip), run.recorder)
        return super()._finish(size)

    def close(self) -> None:
        super().close()
        self._run.close()
        self._cached.close()


class IncrementExport(RoomExport):
    """An increment to be read once, if `has_changes`. Made by `export_increment`.

    `is_cached` is true if the room after `links` is in the cache.
    """

    _run: IncrementRun

    def __init__(self, run: IncrementRun, bundles: Sequence[str], *, is_cached: bool) -> None:
        super().__init__(run)
        self._bundles = bundles
        self._is_cached = is_cached
        self.has_changes = run.find_changes()

    def write(
        self, target: Path | None, *, overwrite: bool = False, even_if_empty: bool = False
    ) -> ExportResult:
        """Write the increment to a file, or to stdout, unless nothing has changed.

        Raises the errors of `write_to_file` and `write_to_stream`.
        """
        run = self._run
        if not self.has_changes and not even_if_empty:
            if target and not self._is_cached:
                self._keep(target.parent, self._bundles, run.state)
            return run.build_result(0)
        if target is None:
            return write_to_stream(lambda: self, sys.stdout.buffer)
        result = write_to_file(lambda: self, target, overwrite=overwrite)
        if tip := result.manifest_sha256:
            self._keep(target.parent, [*self._bundles, tip], run.build_state(tip))
        return result

    def _keep(self, directory: Path, bundles: Sequence[str], state: ChainState) -> None:
        """Write the cache. A directory that can't be written to has none."""
        with write_drafts(directory), suppress(OSError):
            write_cache(directory / NAME, bundles, state, self._run.recorder)


@contextmanager
def export_increment(
    *,
    operator: Operator,
    tenant: str,
    room: str,
    since: Sequence[Path],
    with_media: bool,
    now: datetime,
    max_bytes: int,
    progress_factory: ProgressFactory,
) -> Iterator[IncrementExport]:
    """Find the changes in a room since a chain, whose files may be in any order.

    Raises the errors of `export_room` and of `start_increment`, and `ExportRunning`.
    """
    operator.require(Permission.EXPORT_ROOMS)
    resolved = resolve_room(operator, room, tenant=resolve_tenant(operator, tenant))
    signer = load_signer(now)
    with progress_factory("Comparing events") as progress:
        options = ExportOptions(WHOLE_ROOM, with_media, now, signer, progress)
        with (
            lock_directory(since[-1].parent, room=resolved),
            start_increment(
                operator=operator,
                room=resolved,
                options=options,
                since=since,
                max_bytes=max_bytes,
                progress_factory=progress_factory,
            ) as export,
        ):
            yield export


@contextmanager
def start_increment(
    *,
    operator: Operator,
    room: Room,
    options: ExportOptions,
    since: Sequence[Path],
    max_bytes: int,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Iterator[IncrementExport]:
    """Audit the export of an increment, and find the changes.

    Raises `ExportRefused`, `BundleError`, `DiskFull`, and `UsageError` for unreadable files.
    """
    with ExitStack() as stack:
        files = [(str(path), stack.enter_context(open_bundle_file(path))) for path in since]
        if cached := read_cache(since[-1].parent, [file for _, file in files], max_bytes):
            bundles, state, before = cached.bundles, cached.state, cached.iter_batches()
            stack.callback(cached.close)
        else:
            opened = stack.enter_context(
                open_chain(files, max_bytes=max_bytes, progress_factory=progress_factory)
            )
            bundles = [item.bundle.manifest_sha256 for item in opened.bundles]
            state, before = opened.state, opened.iter_batches(with_texts=False)
        audit_export(operator=operator, room=room, options=options, since=state.tip)
        run = IncrementRun(room, options, state, before, cached=cached)
        stack.callback(run.close)
        yield IncrementExport(run, bundles, is_cached=cached is not None)


def export_increment_as_participant(
    *, caller: Caller, room: str, since: str | None, now: datetime
) -> RoomExport | None:
    """Start the export of a room for one of its members, as the base of a chain or its next
    increment.

    `since` is the SHA-256 of the manifest of the last bundle; None begins a chain. Returns None if
    nothing has changed. Raises the errors of `export_as_participant`, and `ExportBaseUnknown`.
    """
    resolved = resolve_own_room(caller, room)
    options = ExportOptions(WHOLE_ROOM, True, now, load_signer(now), null_progress)
    if since is None:
        audit_export(operator=caller.operator, room=resolved, options=options)
        return RoomExport(RecordedRun(resolved, options))
    if (cached := read_served(resolved.pk, since)) is None:
        raise ExportBaseUnknown(f"No bundle of this room with the SHA-256 {since:.64} is known.")
    audit_export(operator=caller.operator, room=resolved, options=options, since=since)
    export = _ServedExport(
        IncrementRun(
            resolved,
            options,
            cached.state,
            cached.iter_batches(),
            mask=mask_sender,
            cached=cached,
        ),
        cached,
    )
    if not export.has_changes:
        export.close()
        return None
    return export
