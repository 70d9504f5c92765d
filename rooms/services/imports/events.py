"""Writes the events of a bundle into the table, as fast as the database takes them.

The rows are made by hand, a million of them in seconds: COPY on PostgreSQL, one executemany on
SQLite. Both stay in the caller's transaction, and neither holds more than a few events at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import IntegrityError, connection

from rooms.models import Event, Room
from rooms.services.imports.id_mapping import EventRewriter
from scaiwave.console.progress import ProgressCallback
from scaiwave.error_mapping import DatabaseBusy

if TYPE_CHECKING:
    from rooms.bundle.reader import BundleEvent

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
_NAMES = ", ".join(COLUMNS)
_BUFFERED = 64 * 1024
"""Bytes handed to the connection at a time."""
_TOLD_EVERY = 1000
"""Events between two calls of the progress."""

_NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))

_compact = msgspec.json.Encoder().encode
# As Django's JSONField writes it, so that Django's exact lookups find it.
_as_django = json.JSONEncoder().encode


@dataclass(frozen=True)
class EventDestination:
    """Where the events go. `first_position` is that of the first; the others follow."""

    room: Room
    first_position: int
    rewriter: EventRewriter


def write_events(
    events: Iterable[BundleEvent],
    target: EventDestination,
    *,
    total: int,
    progress: ProgressCallback,
) -> int:
    """Write all of them; returns how many there were. Call it in a transaction.

    Raises `DatabaseBusy` when somebody else took one of the reserved positions.
    """
    counted = _Rewritten(events, target.rewriter, total, progress)
    write = _copy if connection.vendor == "postgresql" else _insert
    try:
        with connection.wrap_database_errors:  # Django does so for its own methods only.
            write(counted, target)
    except IntegrityError as error:
        # PostgreSQL names the constraint, SQLite its columns.
        if "stream_position" not in str(error):
            raise
        raise DatabaseBusy(
            "Somebody else wrote to the tenant's stream at the same time."
        ) from error
    progress(counted.count, total)
    return counted.count


class _Rewritten:
    """Rewrites events on their way, counts them, and says so now and then."""

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
            if self.count % _TOLD_EVERY == 0:
                self._progress(self.count, self._total)
            self.count += 1
            rewrite(event)
            yield event


def _copy(events: Iterable[BundleEvent], target: EventDestination) -> None:
    """A few events are made while the server writes those before."""
    lines = bytearray()
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {TABLE} ({_NAMES}) FROM STDIN") as copy,
    ):
        for line in _lines(events, target):
            lines += line
            if len(lines) >= _BUFFERED:
                copy.write(bytes(lines))
                lines.clear()
        copy.write(bytes(lines))


def _lines(events: Iterable[BundleEvent], target: EventDestination) -> Iterator[bytes]:
    """Rows in the text format of COPY; its NULL is \\N, and a backslash is written twice."""
    room = target.room
    same = f"\t{room.tenant_id}\t{room.pk}\t{room.creator_id}\t"
    new_id = target.rewriter.new_id
    for position, event in enumerate(events, target.first_position):
        content = _compact(event.content).replace(b"\\", b"\\\\").decode()
        original = event.original_content
        before = _NULL if original is None else _compact(original).replace(b"\\", b"\\\\").decode()
        yield (
            f"{new_id(event.id)}{same}{_escaped(event.event_type)}\t{content}\t{before}\t{position}"
            f"\t{event.origin_ts}\t{event.event_uuid or _NULL}\tt\t{event.created_at}"
            f"\t{event.edited_at or _NULL}\t{event.redacted_at or _NULL}\n"
        ).encode()


@lru_cache(1000)
def _escaped(text: str) -> str:
    """There are few types of events, and each is in a thousand of them."""
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _insert(events: Iterable[BundleEvent], target: EventDestination) -> None:
    marks = ", ".join("?" * len(COLUMNS))
    connection.connection.executemany(
        f"INSERT INTO {TABLE} ({_NAMES}) VALUES ({marks})", _rows(events, target)
    )


def _rows(events: Iterable[BundleEvent], target: EventDestination) -> Iterator[tuple[Any, ...]]:
    """Rows as Django keeps them in SQLite: ids as 32 digits, times as text without a zone."""
    room = target.room
    tenant, key, sender = room.tenant_id.hex, room.pk.hex, room.creator_id.hex
    new_id = target.rewriter.new_id
    for position, event in enumerate(events, target.first_position):
        original = event.original_content
        yield (
            new_id(event.id).replace("-", ""),
            tenant,
            key,
            sender,
            event.event_type,
            _as_django(event.content),
            None if original is None else _as_django(original),
            position,
            event.origin_ts,
            event.event_uuid and event.event_uuid.replace("-", ""),
            True,
            _sqlite_time(event.created_at),
            _sqlite_time(event.edited_at),
            _sqlite_time(event.redacted_at),
        )


def _sqlite_time(time: str | None) -> str | None:
    """2026-11-24T19:05:00.000000Z as 2026-11-24 19:05:00; a fraction stays if there is one."""
    if time is None:
        return None
    return f"{time[:10]} {time[11:19]}" if time[20:26] == "000000" else f"{time[:10]} {time[11:26]}"
