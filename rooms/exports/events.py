"""Stream the events of a room as the text of a bundle, encoded by the database.

Python never handles single events: parsing their content, or even creating one object per row,
would cost more than everything else in an export.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from operator import lt
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from rooms.bundle.format import IMPORTED_SENDER
from rooms.bundle.manifest.schema import WHOLE_ROOM, Sender, TimeWindow
from rooms.bundle.writer import CHUNK_BYTES
from rooms.errors import ExportDamaged
from rooms.exports.snapshot import EVENT_SENDERS
from rooms.lookup.authors import Author

# Every row begins with the separator to the one before.
_SEPARATOR = ",\n"

# COPY's binary format: a header before the first row; for each row the number of its fields (2
# bytes) and the length of its text (4); -1 as the number of fields at the end.
_COPY_HEADER_BYTES = 19
_ROW_HEADER_BYTES = 6

_UUID_COLUMNS = ("id", "event_uuid")
_UUID_FORMAT = "%.8s-%.4s-%.4s-%.4s-%s"
_TIME_COLUMNS = ("created_at", "edited_at", "redacted_at")
_TIME_FORMAT = "%.10sT%.15sZ"
# With the quotation mark after it.
_POSTGRESQL_TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"')"""
# The arguments of _UUID_FORMAT, which uses the first digits of each, and of _TIME_FORMAT: six
# fractional digits, which Django omits if zero.
_SQLITE_UUID = "{0}, substr({0}, 9), substr({0}, 13), substr({0}, 17), substr({0}, 21)"
_SQLITE_TIME = "{0}, substr({0} || '.000000', 12)"

# concat() treats NULL as empty, so a key and its value are written or omitted together. It also
# copies the content only once, where a chain of || copies it for every one. For every event,
# to_json() looks up how texts are written, which takes a twelfth of the statement's time; most
# events are messages.
_POSTGRESQL = """
    SELECT concat(
        '{separator}{{"id": "', id,
        '", "sender_id": "', sender_id,
        '", "event_type": ', CASE event_type
            WHEN 'swp.room.message' THEN '"swp.room.message"' ELSE to_json(event_type)::text END,
        ', "content": ', {content},
        ', "stream_position": ', stream_position,
        ', "origin_ts": ', origin_ts,
        ', "created_at": "', {created_at},
        ', "original_content": ' || original_content::text,
        ', "event_uuid": "' || event_uuid || '"',
        ', "edited_at": "' || {edited_at},
        ', "redacted_at": "' || {redacted_at},
        CASE WHEN do_not_index THEN ', "do_not_index": true' END,
        '}}'
    )
    FROM sw_events
    WHERE room_id = %(room)s {bounds}
    ORDER BY stream_position
"""
# Adds `_imported_sender` to events of foreign senders. When two objects are joined, the keys of the
# second win, so an existing value is kept. Joining the participants instead would take half as long
# again for every event, and looking up every sender as a text a twentieth.
_POSTGRESQL_CONTENT = """CASE
    WHEN sender_id = ANY(%(foreign)s) THEN %(signatures)s::jsonb -> sender_id::text || content
    ELSE content
END"""

# SQLite stores UUIDs as 32 digits, times as text, and JSON as it was written. printf() treats NULL
# as empty and copies once. The text is cast to a blob, which costs nothing, so that Python does not
# decode it only to encode it again. Many rows are returned as one: for each row that Python
# receives, the compressing thread would have to wait for the interpreter's lock.
_SQLITE = """
    SELECT CAST(group_concat(line, '') AS BLOB), group_concat(stream_position, ' ') FROM (
        SELECT printf(
            '{separator}{{"id": "{uuid_format}", "sender_id": "%s", "event_type": %s, '
            || '"content": %s, "stream_position": %d, "origin_ts": %d, '
            || '"created_at": "{time_format}"%s%s%s%s%s}}',
            {id},
            sender,
            json_quote(event_type),
            {content},
            stream_position,
            origin_ts,
            {created_at},
            ', "original_content": ' || original_content,
            iif(event_uuid IS NULL, '', printf(', "event_uuid": "{uuid_format}"', {event_uuid})),
            iif(edited_at IS NULL, '', printf(', "edited_at": "{time_format}"', {edited_at})),
            iif(redacted_at IS NULL, '', printf(', "redacted_at": "{time_format}"', {redacted_at})),
            iif(do_not_index, ', "do_not_index": true', '')
        ) AS line, stream_position
        FROM sw_events LEFT JOIN temp.event_senders ON sender_id = digits
        WHERE room_id = :room AND stream_position > :after {bounds}
        ORDER BY stream_position LIMIT :max_rows
    )
"""
# json_insert keeps an existing key. Where there can't be one, texts are concatenated, which takes a
# third of the time; the key could also be written with escapes.
_SQLITE_CONTENT = f"""CASE
    WHEN signature IS NULL THEN content
    WHEN substr(content, 1, 2) = '{{"' AND NOT instr(content, '{IMPORTED_SENDER}')
        AND NOT instr(content, '\\u')
    THEN '{{"{IMPORTED_SENDER}": ' || signature || ', ' || substr(content, 2)
    ELSE json_insert(content, '$.{IMPORTED_SENDER}', json(signature))
END"""

_FIRST_ROWS, _MAX_ROWS = 50, 250
"""Rows at a time on SQLite, which bounds the memory if events suddenly become large."""

_TEXT_SEPARATOR = "\x1e"
"""Between events that are compared. A JSON text can't contain it."""
_MAX_TEXTS = 500

Rows = tuple[bytes | memoryview, int]
"""The text of some rows, and their number."""


class _Query(NamedTuple):
    """The events to read, and the text before each."""

    room_id: UUID
    window: TimeWindow
    senders: Mapping[str, Sender]
    separator: str
    author: Author | None = None

    @contextmanager
    def run(self, read_connection: sqlite3.Connection | None) -> Iterator[Iterable[Rows]]:
        opened = (
            _query_sqlite(self, read_connection) if read_connection else _query_postgresql(self)
        )
        with connection.wrap_database_errors, opened as rows:
            yield rows

    def build_bounds(self, placeholder: str) -> tuple[str, dict[str, Any]]:
        """Return further conditions, and their parameters."""
        operators = {"first": ">=", "end": "<"}
        bounds = {"first": self.window.first_second, "end": self.window.end_second}
        values: dict[str, Any] = {k: second for k, second in bounds.items() if second is not None}
        conditions = [f"AND origin_ts {operators[key]} {placeholder.format(key)}" for key in values]
        if self.author is not None:
            condition, parameters = self.author.build_sql(placeholder)
            conditions.append(f"AND {condition}")
            values.update(parameters)
        return " ".join(conditions), values


def stream_events(
    room_id: UUID,
    window: TimeWindow,
    *,
    senders: Mapping[str, Sender],
    on_events: Callable[[int], None],
    read_connection: sqlite3.Connection | None,
    author: Author | None = None,
) -> Iterator[bytes]:
    """Yield the events in stream order, as pieces of a text; report the number in each piece.

    With an `author`, only the events that they wrote. `senders` are the senders of all events, by
    ID. Events of foreign senders get `_imported_sender` in their content, unless they have it
    already. Call inside a `snapshot`, with its connection.
    """
    query = _Query(room_id, window, senders, _SEPARATOR, author)
    with query.run(read_connection) as rows:
        yield from _join_rows(rows, on_events)


@contextmanager
def read_pages(
    room_id: UUID,
    *,
    senders: Mapping[str, Sender],
    read_connection: sqlite3.Connection | None,
) -> Iterator[Iterator[bytes]]:
    """Read all events in stream order, many at a time, as `split_page` takes them.

    The pages of a room that has not changed are the same each time. The query ends with the block,
    also after an error: the rollback of the snapshot would wait for it forever.
    """
    query = _Query(room_id, WHOLE_ROOM, senders, _TEXT_SEPARATOR)
    with query.run(read_connection) as rows:
        yield _join_pages(rows)


def _join_pages(rows: Iterable[Rows]) -> Iterator[bytes]:
    page, count = bytearray(), 0
    for text, row_count in rows:
        page += text
        count += row_count
        if count >= _MAX_TEXTS:
            yield bytes(page)
            page.clear()
            count = 0
    if page:
        yield bytes(page)


def split_page(page: bytes) -> list[bytes]:
    """Return the events as `stream_events` writes them."""
    return page.split(_TEXT_SEPARATOR.encode())[1:]


def _join_rows(rows: Iterable[Rows], on_events: Callable[[int], None]) -> Iterator[bytes]:
    """Use one growing buffer; joining a list of rows takes twice as long."""
    chunk, count, skip = bytearray(), 0, len(_SEPARATOR)
    for text, row_count in rows:
        chunk += text
        count += row_count
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(memoryview(chunk)[skip:])
            on_events(count)
            chunk.clear()
            count = skip = 0
    yield bytes(chunk[skip:])
    on_events(count)


@contextmanager
def _query_postgresql(query: _Query) -> Iterator[Iterable[Rows]]:
    signatures = {
        key: {IMPORTED_SENDER: sender.imported_sender}
        for key, sender in query.senders.items()
        if sender.is_foreign
    }
    bounds, bound_values = query.build_bounds("%({})s")
    sql = _POSTGRESQL.format(
        separator=query.separator,
        content=_POSTGRESQL_CONTENT if signatures else "content",
        bounds=bounds,
        **{column: _POSTGRESQL_TIME.format(column) for column in _TIME_COLUMNS},
    )
    parameters = {
        "room": query.room_id,
        "foreign": [UUID(key) for key in signatures],
        "signatures": json.dumps(signatures),
        **bound_values,
    }
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", parameters) as copy,
    ):
        yield _strip_headers(copy)


def _strip_headers(blocks: Iterable[bytes | memoryview]) -> Iterator[Rows]:
    skip = _COPY_HEADER_BYTES + _ROW_HEADER_BYTES
    for block in blocks:
        if len(block) > skip:
            yield block[skip:], 1
        skip = _ROW_HEADER_BYTES


@contextmanager
def _query_sqlite(query: _Query, read_connection: sqlite3.Connection) -> Iterator[Iterable[Rows]]:
    has_foreign = any(sender.is_foreign for sender in query.senders.values())
    bounds, bound_values = query.build_bounds(":{}")
    sql = _SQLITE.format(
        separator=query.separator,
        content=_SQLITE_CONTENT if has_foreign else "content",
        bounds=bounds,
        uuid_format=_UUID_FORMAT,
        time_format=_TIME_FORMAT,
        **{column: _SQLITE_UUID.format(column) for column in _UUID_COLUMNS},
        **{column: _SQLITE_TIME.format(column) for column in _TIME_COLUMNS},
    )
    rows = (
        (
            key.replace("-", ""),
            key,
            json.dumps(sender.imported_sender) if sender.is_foreign else None,
        )
        for key, sender in query.senders.items()
    )
    with closing(read_connection.cursor()) as cursor:
        cursor.execute(EVENT_SENDERS)  # The main connection does not have it.
        cursor.executemany("INSERT INTO temp.event_senders VALUES (?, ?, ?)", rows)
        yield _iter_sqlite_pages(cursor, sql, {"room": query.room_id.hex, **bound_values})


def _iter_sqlite_pages(cursor: sqlite3.Cursor, sql: str, values: dict[str, Any]) -> Iterator[Rows]:
    after, max_rows = 0, _FIRST_ROWS
    while True:
        parameters = {**values, "after": after, "max_rows": max_rows}
        text, joined_positions = cursor.execute(sql, parameters).fetchone()
        if text is None:
            return
        positions = parse_positions(joined_positions, after)
        yield text, len(positions)
        after = positions[-1]
        max_rows = max(1, min(_MAX_ROWS, CHUNK_BYTES * len(positions) // len(text)))


def parse_positions(joined: str, after: int) -> list[int]:
    """Return the positions of a page. Raises `ExportDamaged` if they are not in stream order.

    SQLite concatenates the rows in the order of the inner query, but does not promise that.
    """
    positions = list(map(int, joined.split()))
    if not all(map(lt, [after, *positions], positions)):
        raise ExportDamaged(
            "The database returned events out of stream order. The partial bundle is not usable.",
            fix="Use another version of SQLite.",
        )
    return positions
