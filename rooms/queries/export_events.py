"""The events of a room as the text of a bundle, each encoded whole by the database.

Python never sees an event: to parse its content, or only to have one object a row, would cost
more than everything else that an export does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from operator import lt
from typing import Any
from uuid import UUID

from django.db import connection

from rooms.bundle.format import IMPORTED_SENDER
from rooms.bundle.time_window import Window
from rooms.bundle.writer import PIECE, Sender
from rooms.errors import ExportDamaged

# Each row begins with what separates it from the one before.
_SEPARATOR = ",\n"

# The binary form of COPY: a header before the first row; for each row the number of its fields (2
# bytes) and the length of its text (4); a number of fields of -1 at the end.
_COPY_HEADER = 19
_ROW_HEADER = 6

_UUIDS = ("id", "event_uuid")
_HYPHENED = "%.8s-%.4s-%.4s-%.4s-%s"
_TIMES = ("created_at", "edited_at", "redacted_at")
_WRITTEN = "%.10sT%.15sZ"

# concat() takes null for nothing, so that a key and its value are there or not together. It also
# copies the content once, where a chain of || copies it for every link.
_POSTGRESQL = """
    SELECT concat(
        '{separator}{{"id": "', id,
        '", "sender_id": "', sender_id,
        '", "event_type": ', to_json(event_type),
        ', "content": ', {content},
        ', "stream_position": ', stream_position,
        ', "origin_ts": ', origin_ts,
        ', "created_at": "', {created_at}, '"',
        ', "original_content": ' || original_content::text,
        ', "event_uuid": "' || event_uuid || '"',
        ', "edited_at": "' || {edited_at} || '"',
        ', "redacted_at": "' || {redacted_at} || '"',
        CASE WHEN do_not_index THEN ', "do_not_index": true' END,
        '}}'
    )
    FROM sw_events
    WHERE room_id = %(room)s {window}
    ORDER BY stream_position
"""
# Who is foreign says so in each of its events; of two objects put together, the second one's keys
# win. Not by a look at the participants, which for every event would take half as long again.
_POSTGRESQL_SIGNED = "coalesce(%(signatures)s::jsonb -> sender_id::text || content, content)"

# SQLite keeps UUIDs as 32 digits, times as text and JSON as it was written. printf() takes null
# for nothing and copies once. The text is cast to a blob, which costs nothing, so that Python does
# not decode what it would encode again. Many rows come as one: for each that comes to Python, the
# thread that packs them would have to let go of the interpreter.
_SQLITE = """
    SELECT CAST(group_concat(line, '') AS BLOB), group_concat(stream_position, ' ') FROM (
        SELECT printf(
            '{separator}{{"id": "{hyphened}", "sender_id": "%s", "event_type": %s, '
            || '"content": %s, "stream_position": %d, "origin_ts": %d, "created_at": "{written}"'
            || '%s%s%s%s%s}}',
            {id},
            sender,
            json_quote(event_type),
            {content},
            stream_position,
            origin_ts,
            {created_at},
            ', "original_content": ' || original_content,
            iif(event_uuid IS NULL, '', printf(', "event_uuid": "{hyphened}"', {event_uuid})),
            iif(edited_at IS NULL, '', printf(', "edited_at": "{written}"', {edited_at})),
            iif(redacted_at IS NULL, '', printf(', "redacted_at": "{written}"', {redacted_at})),
            iif(do_not_index, ', "do_not_index": true', '')
        ) AS line, stream_position
        FROM sw_events LEFT JOIN temp.event_senders ON sender_id = digits
        WHERE room_id = :room AND stream_position > :after {window}
        ORDER BY stream_position LIMIT :most
    )
"""
# A sender is looked up faster than its hyphens are put in. Gone with the snapshot.
_SQLITE_SENDERS = """
    CREATE TEMP TABLE event_senders (digits TEXT PRIMARY KEY, sender TEXT, signature TEXT)
    WITHOUT ROWID
"""
# json_insert leaves a key alone that is there; where none can be, texts are put together, which
# costs a third. A key may also be written with escapes.
_SQLITE_SIGNED = f"""CASE
    WHEN signature IS NULL THEN content
    WHEN substr(content, 1, 2) = '{{"' AND NOT instr(content, '{IMPORTED_SENDER}')
        AND NOT instr(content, '\\u')
    THEN '{{"{IMPORTED_SENDER}": ' || signature || ', ' || substr(content, 2)
    ELSE json_insert(content, '$.{IMPORTED_SENDER}', json(signature))
END"""

_FIRST_ROWS, _MOST_ROWS = 50, 250
"""At once on SQLite, which bounds what is in memory where events are large all of a sudden."""

Rows = tuple[bytes | memoryview, int]
"""The text of some rows, and how many they are."""


def stream_events(
    room_id: UUID,
    window: Window,
    *,
    senders: Collection[Sender],
    count: Callable[[int], None],
    beside: sqlite3.Connection | None,
) -> Iterator[bytes]:
    """The events in the order of the stream, as pieces of a text; `count` is told how many each
    piece holds.

    `senders` are those of all events. What the foreign ones sent says in its content who that is,
    unless it does already. Call it in a `state`, with the connection that this gives.
    """
    with connection.wrap_database_errors, _rows(room_id, window, senders, beside) as found:
        yield from _in_pieces(found, count)


def _rows(
    room_id: UUID,
    window: Window,
    senders: Collection[Sender],
    beside: sqlite3.Connection | None,
) -> AbstractContextManager[Iterable[Rows]]:
    if beside is None:
        return _postgresql_rows(room_id, window, senders)
    return _sqlite_rows(room_id, window, senders, beside)


def _in_pieces(rows: Iterable[Rows], count: Callable[[int], None]) -> Iterator[bytes]:
    """One buffer that grows; a list of rows that is joined takes twice as long."""
    piece, number, skip = bytearray(), 0, len(_SEPARATOR)
    for text, more in rows:
        piece += text
        number += more
        if len(piece) >= PIECE:
            yield bytes(memoryview(piece)[skip:])
            count(number)
            piece.clear()
            number = skip = 0
    yield bytes(piece[skip:])
    count(number)


@contextmanager
def _postgresql_rows(
    room_id: UUID, window: Window, senders: Collection[Sender]
) -> Iterator[Iterable[Rows]]:
    signatures = {
        sender.id: {IMPORTED_SENDER: sender.imported_sender}
        for sender in senders
        if sender.is_foreign
    }
    sql = _POSTGRESQL.format(
        separator=_SEPARATOR,
        content=_POSTGRESQL_SIGNED if signatures else "content",
        window=_bounds(window, "%({})s"),
        **{column: _postgresql_time(column) for column in _TIMES},
    )
    parameters = {"room": room_id, "signatures": json.dumps(signatures), **_limits(window)}
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", parameters) as copy,
    ):
        yield _copied(copy)


def _copied(blocks: Iterable[bytes | memoryview]) -> Iterator[Rows]:
    skip = _COPY_HEADER + _ROW_HEADER
    for block in blocks:
        if len(block) > skip:
            yield block[skip:], 1
        skip = _ROW_HEADER


def _postgresql_time(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@contextmanager
def _sqlite_rows(
    room_id: UUID, window: Window, senders: Collection[Sender], beside: sqlite3.Connection
) -> Iterator[Iterable[Rows]]:
    sql = _SQLITE.format(
        separator=_SEPARATOR,
        content=_SQLITE_SIGNED if any(sender.is_foreign for sender in senders) else "content",
        window=_bounds(window, ":{}"),
        hyphened=_HYPHENED,
        written=_WRITTEN,
        **{column: _sqlite_digits(column) for column in _UUIDS},
        **{column: _sqlite_time(column) for column in _TIMES},
    )
    with closing(beside.cursor()) as cursor:
        cursor.execute(_SQLITE_SENDERS)
        cursor.executemany(
            "INSERT INTO temp.event_senders VALUES (?, ?, ?)", map(_sqlite_sender, senders)
        )
        yield _pages(cursor, sql, {"room": room_id.hex, **_limits(window)})


def _pages(cursor: sqlite3.Cursor, sql: str, values: dict[str, Any]) -> Iterator[Rows]:
    after, most = 0, _FIRST_ROWS
    while True:
        text, told = cursor.execute(sql, {**values, "after": after, "most": most}).fetchone()
        if text is None:
            return
        positions = parse_positions(told, after)
        yield text, len(positions)
        after = positions[-1]
        most = max(1, min(_MOST_ROWS, PIECE * len(positions) // len(text)))


def parse_positions(told: str, after: int) -> list[int]:
    """The positions of a page. Raises `ExportDamaged` unless they are in the order of the stream:
    SQLite puts together what comes out of the query within, as it comes, but does not promise it.
    """
    positions = list(map(int, told.split()))
    if not all(map(lt, [after, *positions], positions)):
        raise ExportDamaged(
            "The database gave events in another order than that of the stream.",
            fix="Nothing of this bundle can be used. Move to another version of SQLite.",
        )
    return positions


def _sqlite_sender(sender: Sender) -> tuple[str, str, str | None]:
    signature = json.dumps(sender.imported_sender) if sender.is_foreign else None
    return sender.id.replace("-", ""), sender.id, signature


def _sqlite_digits(column: str) -> str:
    """What `_HYPHENED` writes: it takes the first few of each."""
    return ", ".join((column, *(f"substr({column}, {start})" for start in (9, 13, 17, 21))))


def _sqlite_time(column: str) -> str:
    """What `_WRITTEN` writes: six digits of fraction, which are not kept where they are nought."""
    return f"{column}, substr({column} || '.000000', 12)"


def _bounds(window: Window, mark: str) -> str:
    comparisons = {"first": ">=", "end": "<"}
    return " ".join(
        f"AND origin_ts {comparisons[name]} {mark.format(name)}" for name in _limits(window)
    )


def _limits(window: Window) -> dict[str, Any]:
    limits = {"first": window.first_second, "end": window.end_second}
    return {name: second for name, second in limits.items() if second is not None}
