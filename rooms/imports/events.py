"""Write the events of a bundle into the table, as fast as the database accepts them.

The rows are encoded here, a million in seconds: COPY on PostgreSQL, one executemany on SQLite. Both
stay in the caller's transaction, and hold only a few batches of events in memory.
Each step handles a whole batch where it can, since a call per event takes as long as its work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection
from django.db.models import QuerySet

from rooms.bundle.manifest.schema import format_timestamp
from rooms.imports.id_mapping import EventRewriter, is_bare
from rooms.lookup.authors import IMPORTED_FQID
from rooms.models import Event, Room
from scaiwave.console.progress import ProgressCallback
from scaiwave.storage.error_mapping import DatabaseBusy

if TYPE_CHECKING:
    from psycopg import Copy

    from rooms.bundle.manifest.events import Batch, Columns

TABLE = Event._meta.db_table
# Content last, because only that is encoded for many events at once.
COLUMNS = (
    "tenant_id",
    "room_id",
    "sender_id",
    "do_not_index",
    "id",
    "event_type",
    "stream_position",
    "origin_ts",
    "event_uuid",
    "created_at",
    "edited_at",
    "redacted_at",
    "original_content",
    "content",
)
_COLUMN_LIST = ", ".join(COLUMNS)
_MIN_COPY_ROWS = 100_000
"""Rows of one statement. The last batch may add some."""

_NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))

_json_encoder = msgspec.json.Encoder()
# In the form of Django's JSONField, so that its exact lookups match.
_encode_as_django = json.JSONEncoder().encode
# No text of a bundle contains U+0000, and a quotation mark inside a text is escaped.
_SEPARATOR = "\0"
_ENCODED_SEPARATOR = f", {_encode_as_django(_SEPARATOR)}, "


@dataclass(frozen=True)
class EventDestination:
    """Where the events go. They get consecutive positions, beginning with `first_position`.

    With `senders`, the IDs here of all senders, the events keep their authors, positions and flags;
    without, the creator of the room sends them, and they are left out of the search.
    """

    room: Room
    first_position: int
    rewriter: EventRewriter
    senders: Mapping[str, UUID] | None = None

    def get_origins(
        self, position: int, columns: Columns, form: Callable[[UUID], str]
    ) -> tuple[Iterable[str], Iterable[bool], Iterable[int]]:
        """Return the senders, the flags and the positions of events; some without an end."""
        if self.senders is None:
            return repeat(form(self.room.creator_id)), repeat(True), count(position)
        used = {key: form(self.senders[key]) for key in set(columns.sender_ids)}
        return map(used.__getitem__, columns.sender_ids), columns.do_not_index, columns.positions


def write_events(
    batches: Iterable[Batch],
    destination: EventDestination,
    *,
    total: int,
    progress: ProgressCallback,
) -> int:
    """Write all events and return their number. Call in a transaction.

    Raises `DatabaseBusy` if another writer used one of the reserved positions.
    """
    written, marks = 0, ", ".join("?" * len(COLUMNS))

    def iter_rewritten() -> Iterator[tuple[int, Batch]]:
        """Yield rewritten events with their first position."""
        nonlocal written
        for batch in batches:
            progress(written, total)
            destination.rewriter.rewrite(batch)
            yield destination.first_position + written, batch
            written += len(batch)

    try:
        with connection.wrap_database_errors:  # Django does so for its own methods only.
            if connection.vendor == "postgresql":
                _copy(iter_rewritten(), destination)
            else:
                connection.connection.executemany(
                    f"INSERT INTO {TABLE} ({_COLUMN_LIST}) VALUES ({marks})",
                    _iter_sqlite_rows(iter_rewritten(), destination),
                )
    except IntegrityError as error:
        # PostgreSQL names the constraint, SQLite its columns. With `senders`, none was reserved.
        if destination.senders is not None or "stream_position" not in str(error):
            raise
        raise DatabaseBusy(
            "Another process wrote to the tenant's stream at the same time."
        ) from error
    progress(written, total)
    return written


def find_emptied(events: QuerySet[Event]) -> dict[str, tuple[str, str]]:
    """Return when events were redacted that have no text left, and who wrote them elsewhere.

    The keys are IDs as 32 digits, and the authors addresses, empty for events of this server.
    """
    columns = ("pk", "redacted_at", IMPORTED_FQID, "content", "original_content")
    rows = events.exclude(redacted_at=None).values_list(*columns).iterator()
    return {
        key.hex: (format_timestamp(at), author)
        for key, at, author, *texts in rows
        if is_bare(*texts)
    }


def update_events(batch: Batch, new_ids: Sequence[str]) -> None:
    """Replace the rows with these IDs, as 32 digits, by events that were rewritten."""
    columns, is_postgres = batch.columns, connection.vendor == "postgresql"
    times: list[list[str | None]] = [
        [time and (time if is_postgres else _format_sqlite_times([time])[0]) for time in column]
        for column in (columns.created_times, columns.edited_times, columns.redacted_times)
    ]
    json_mark = "%s::jsonb" if is_postgres else "%s"
    # An empty object is a value too.
    originals = [
        None if content is None else _encode_as_django(content)
        for content in columns.original_contents
    ]
    rows = zip(
        columns.event_types,
        columns.origin_seconds,
        [uuid and uuid.replace("-", "") for uuid in columns.event_uuids],
        *times,
        originals,
        map(_encode_as_django, columns.contents),
        new_ids,
        strict=True,
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {TABLE} SET event_type = %s, origin_ts = %s, event_uuid = %s, "
            "created_at = %s, edited_at = %s, redacted_at = %s, "
            f"original_content = {json_mark}, content = {json_mark} WHERE id = %s",
            list(rows),
        )


def _copy(batches: Iterable[tuple[int, Batch]], destination: EventDestination) -> None:
    """Encode a batch while the server writes the one before.

    The server keeps a record of each row and key until the key is checked, which is at the end of
    each statement and not of the transaction. The check locks the sender, who can still be changed
    and suspended, but not moved to another tenant.
    """
    remaining = iter(batches)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(conname), ', ') FROM pg_constraint "
            f"WHERE conrelid = '{TABLE}'::regclass AND contype = 'f' AND condeferrable"
        )
        (keys,) = cursor.fetchone()
        cursor.execute(f"SET CONSTRAINTS {keys} IMMEDIATE")
        for first in remaining:
            with cursor.copy(f"COPY {TABLE} ({_COLUMN_LIST}) FROM STDIN") as copy:
                _copy_batches(copy, chain((first,), remaining), destination)


def _copy_batches(
    copy: Copy, batches: Iterable[tuple[int, Batch]], destination: EventDestination
) -> None:
    """Send the rows of one statement."""
    rows = 0
    for position, batch in batches:
        copy.write(_encode_copy_rows(position, batch, destination))
        rows += len(batch)
        if rows >= _MIN_COPY_ROWS:
            return


def _encode_copy_rows(position: int, batch: Batch, destination: EventDestination) -> bytes:
    """Return rows in COPY's text format, where NULL is \\N and a backslash is doubled."""
    room, columns = destination.room, batch.columns
    shared = f"{room.tenant_id}\t{room.pk}\t"
    types = {name: _escape(name) for name in set(columns.event_types)}

    def encode(content: dict[str, Any]) -> str:
        return _json_encoder.encode(content).replace(b"\\", b"\\\\").decode()

    rows = zip(
        destination.rewriter.new_id.map_to_hex(columns.ids),
        columns.event_types,
        *destination.get_origins(position, columns, str),
        columns.origin_seconds,
        columns.event_uuids,
        columns.created_times,
        columns.edited_times,
        columns.redacted_times,
        columns.original_contents,
        strict=False,
    )
    fields = [
        f"{shared}{sender}\t{hidden:d}\t{key}\t{types[kind]}\t{at}\t{sent}"
        f"\t{uuid or _NULL}\t{created}"
        f"\t{edited or _NULL}\t{redacted or _NULL}\t"
        f"{_NULL if original is None else encode(original)}\t".encode()
        for key, kind, sender, hidden, at, sent, uuid, created, edited, redacted, original in rows
    ]
    # JSON escapes line breaks, so each content is one line.
    lines = _json_encoder.encode_lines(columns.contents).replace(b"\\", b"\\\\")
    return b"".join(chain.from_iterable(zip(fields, lines.splitlines(keepends=True), strict=True)))


@lru_cache(1000)
def _escape(text: str) -> str:
    """Cached, because a few event types occur in many events."""
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _iter_sqlite_rows(
    batches: Iterable[tuple[int, Batch]], destination: EventDestination
) -> Iterator[tuple[Any, ...]]:
    """Yield rows as Django stores them in SQLite: IDs as 32 digits, times without a zone."""
    room = destination.room
    for position, batch in batches:
        columns = batch.columns
        senders, flags, positions = destination.get_origins(position, columns, attrgetter("hex"))
        yield from zip(
            repeat(room.tenant_id.hex),
            repeat(room.pk.hex),
            senders,
            flags,
            destination.rewriter.new_id.map_to_hex(columns.ids),
            columns.event_types,
            positions,
            columns.origin_seconds,
            [uuid and uuid.replace("-", "") for uuid in columns.event_uuids],
            _format_sqlite_times(columns.created_times),
            [time and _format_sqlite_times([time])[0] for time in columns.edited_times],
            [time and _format_sqlite_times([time])[0] for time in columns.redacted_times],
            [
                None if content is None else _encode_as_django(content)
                for content in columns.original_contents
            ],
            _encode_all_as_django(columns.contents),
            strict=False,
        )


def _encode_all_as_django(contents: Sequence[dict[str, Any]]) -> list[str]:
    """Encode them together, which takes two thirds of the time."""
    separated: list[Any] = [_SEPARATOR] * (2 * len(contents) - 1)
    separated[::2] = contents
    return _encode_as_django(separated)[1:-1].split(_ENCODED_SEPARATOR)


def _format_sqlite_times(times: Sequence[str]) -> list[str]:
    """2026-11-24T19:05:00.000000Z → 2026-11-24 19:05:00; a fraction is kept unless it is zero."""
    text = "\n".join(times)
    return text.replace("T", " ").replace(".000000Z", "").replace("Z", "").split("\n")
