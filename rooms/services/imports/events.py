"""Write the events of a bundle into the table, as fast as the database accepts them.

The rows are encoded here, a million in seconds: COPY on PostgreSQL, one executemany on SQLite. Both
stay in the caller's transaction, and neither holds more than a few events in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import IntegrityError, connection

from rooms.models import Event, Room
from rooms.services.imports.id_mapping import EventRewriter
from scaiwave.console.progress import ProgressCallback
from scaiwave.error_mapping import DatabaseBusy

if TYPE_CHECKING:
    from psycopg import Copy

    from rooms.bundle.manifest.events import BundleEvent

TABLE = Event._meta.db_table
COLUMNS = (
    "id",
    "tenant_id",
    "room_id",
    "sender_id",
    "event_type",
    "content",
    "original_content",
    "stream_position",
    "origin_ts",
    "event_uuid",
    "do_not_index",
    "created_at",
    "edited_at",
    "redacted_at",
)
_COLUMN_LIST = ", ".join(COLUMNS)
_BUFFER_BYTES = 64 * 1024
"""Bytes passed to the connection at a time."""
_MAX_COPY_ROWS = 100_000
"""Rows of one statement."""
PROGRESS_INTERVAL = 1000
"""Events between two calls of the progress callback."""

_NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))

_encode_compact = msgspec.json.Encoder().encode
# In the form of Django's JSONField, so that its exact lookups match.
_encode_as_django = json.JSONEncoder().encode


@dataclass(frozen=True)
class EventDestination:
    """Where the events go. They get consecutive positions, beginning with `first_position`."""

    room: Room
    first_position: int
    rewriter: EventRewriter


def write_events(
    events: Iterable[BundleEvent],
    destination: EventDestination,
    *,
    total: int,
    progress: ProgressCallback,
) -> int:
    """Write all events and return their number. Call in a transaction.

    Raises `DatabaseBusy` if another writer used one of the reserved positions.
    """
    rewritten = _RewrittenEvents(events, destination.rewriter, total, progress)
    write = _copy if connection.vendor == "postgresql" else _insert
    try:
        with connection.wrap_database_errors:  # Django does so for its own methods only.
            write(rewritten, destination)
    except IntegrityError as error:
        # PostgreSQL names the constraint, SQLite its columns.
        if "stream_position" not in str(error):
            raise
        raise DatabaseBusy(
            "Another process wrote to the tenant's stream at the same time."
        ) from error
    progress(rewritten.count, total)
    return rewritten.count


class _RewrittenEvents:
    """Yields rewritten events, counts them, and reports progress."""

    def __init__(
        self,
        events: Iterable[BundleEvent],
        rewriter: EventRewriter,
        total: int,
        progress: ProgressCallback,
    ) -> None:
        self.count = 0
        self._events = events
        self._rewriter = rewriter
        self._total = total
        self._progress = progress

    def __iter__(self) -> Iterator[BundleEvent]:
        rewrite = self._rewriter.rewrite
        for event in self._events:
            if self.count % PROGRESS_INTERVAL == 0:
                self._progress(self.count, self._total)
            self.count += 1
            rewrite(event)
            yield event


def _copy(events: Iterable[BundleEvent], destination: EventDestination) -> None:
    """Encode a few events while the server writes the ones before.

    The server keeps a record of each row and key until the key is checked, which is at the end of
    each statement and not of the transaction. The check locks the sender, who can still be changed
    and suspended, but not moved to another tenant.
    """
    lines = _iter_copy_lines(events, destination)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(conname), ', ') FROM pg_constraint "
            f"WHERE conrelid = '{TABLE}'::regclass AND contype = 'f' AND condeferrable"
        )
        (keys,) = cursor.fetchone()
        cursor.execute(f"SET CONSTRAINTS {keys} IMMEDIATE")
        for line in lines:
            with cursor.copy(f"COPY {TABLE} ({_COLUMN_LIST}) FROM STDIN") as copy:
                _write_lines(copy, chain((line,), islice(lines, _MAX_COPY_ROWS - 1)))


def _write_lines(copy: Copy, lines: Iterable[bytes]) -> None:
    buffer = bytearray()
    for line in lines:
        buffer += line
        if len(buffer) >= _BUFFER_BYTES:
            copy.write(bytes(buffer))
            buffer.clear()
    copy.write(bytes(buffer))


def _iter_copy_lines(
    events: Iterable[BundleEvent], destination: EventDestination
) -> Iterator[bytes]:
    """Yield rows in COPY's text format, where NULL is \\N and a backslash is doubled."""
    room = destination.room
    shared = f"\t{room.tenant_id}\t{room.pk}\t{room.creator_id}\t"
    new_id = destination.rewriter.new_id
    for position, event in enumerate(events, destination.first_position):
        content = _encode_compact(event.content).replace(b"\\", b"\\\\").decode()
        original = _NULL
        if event.original_content is not None:
            original = _encode_compact(event.original_content).replace(b"\\", b"\\\\").decode()
        yield (
            f"{new_id(event.id)}{shared}{_escape(event.event_type)}\t{content}\t{original}"
            f"\t{position}\t{event.origin_ts}\t{event.event_uuid or _NULL}\tt\t{event.created_at}"
            f"\t{event.edited_at or _NULL}\t{event.redacted_at or _NULL}\n"
        ).encode()


@lru_cache(1000)
def _escape(text: str) -> str:
    """Cached, because a few event types occur in many events."""
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _insert(events: Iterable[BundleEvent], destination: EventDestination) -> None:
    placeholders = ", ".join("?" * len(COLUMNS))
    connection.connection.executemany(
        f"INSERT INTO {TABLE} ({_COLUMN_LIST}) VALUES ({placeholders})",
        _iter_sqlite_rows(events, destination),
    )


def _iter_sqlite_rows(
    events: Iterable[BundleEvent], destination: EventDestination
) -> Iterator[tuple[Any, ...]]:
    """Yield rows as Django stores them in SQLite: IDs as 32 digits, times without a zone."""
    room = destination.room
    tenant_id, room_id, sender_id = room.tenant_id.hex, room.pk.hex, room.creator_id.hex
    new_id = destination.rewriter.new_id
    for position, event in enumerate(events, destination.first_position):
        original = event.original_content
        yield (
            new_id(event.id).replace("-", ""),
            tenant_id,
            room_id,
            sender_id,
            event.event_type,
            _encode_as_django(event.content),
            None if original is None else _encode_as_django(original),
            position,
            event.origin_ts,
            event.event_uuid and event.event_uuid.replace("-", ""),
            True,
            _format_sqlite_time(event.created_at),
            _format_sqlite_time(event.edited_at),
            _format_sqlite_time(event.redacted_at),
        )


def _format_sqlite_time(time: str | None) -> str | None:
    """2026-11-24T19:05:00.000000Z → 2026-11-24 19:05:00; a fraction is kept unless it is zero."""
    if time is None:
        return None
    return f"{time[:10]} {time[11:19]}" if time[20:26] == "000000" else f"{time[:10]} {time[11:26]}"
