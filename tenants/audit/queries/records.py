"""Read audit entries, seals and lists of hashes as the database has them, whatever that is.

The database may have been changed by someone who wants no one to see it, so nothing here fails
because of a value: a value that is not a time, a UUID or JSON is passed on as it is, and differs
from the sealed one. All are read in batches: memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from scaiwave.core.sql import fetch, uuid_param
from tenants.audit.queries.format import FIELDS, format_id, format_time, parse_json

BATCH_SIZE = 1000
_BYTES = (bytes, memoryview)
_TABLE = "sw_audit_entries"


class SealRow(NamedTuple):
    """A stored seal; the columns are as the database has them."""

    number: Any
    day: Any
    entries: Any
    key_id: Any
    statement: str
    signature: str


class PruningRow(NamedTuple):
    through: Any
    statement: str
    signature: str


class ChainRow(NamedTuple):
    """`open_from` is 32 hexadecimal digits, as the ID of an entry."""

    seals: Any
    last_seal_sha256: str
    open_from: str


class EntryRecord(NamedTuple):
    """`id` is 32 hexadecimal digits, `fields` is the hashed text."""

    id: str
    fields: dict[str, Any]


def iter_records(start: UUID | None, end: UUID | None) -> Generator[EntryRecord, None, None]:
    """Yield the entries with IDs from `start` up to before `end`, in their order."""
    # PostgreSQL has times that Python lacks, such as infinity, so they are read as text.
    columns = ", ".join(
        f"CAST({name} AS text)" if name in ("at", "details") else name for name in FIELDS
    )
    conditions, params = [], []
    if end is not None:
        conditions, params = ["id < %s"], [uuid_param(end)]
    position = None if start is None else uuid_param(start)
    is_first = True
    while True:
        where, values = list(conditions), list(params)
        if position is not None:
            where.append("id >= %s" if is_first else "id > %s")
            values.append(position)
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        rows = _fetch(
            f"SELECT {columns} FROM {_TABLE} {clause} "  # noqa: S608 - constants
            f"ORDER BY id LIMIT {BATCH_SIZE}",
            values,
        )
        yield from map(_build_record, rows)
        if len(rows) < BATCH_SIZE:
            return
        position, is_first = rows[-1][0], False


def iter_seals(first: int = 0) -> Iterator[SealRow]:
    """Yield the seals from that number on, in the order of their numbers."""
    comparison, position = ">=", first
    while True:
        rows = _fetch(
            "SELECT number, CAST(day AS text), entries, key_id, statement, signature "  # noqa: S608
            f"FROM sw_audit_seals WHERE number {comparison} %s "
            f"ORDER BY number LIMIT {BATCH_SIZE}",
            [position],
        )
        for row in rows:
            yield _build_seal(row)
        if len(rows) < BATCH_SIZE:
            return
        comparison, position = ">", rows[-1][0]


def iter_hash_lists(day: date) -> Iterator[bytes]:
    """Yield the lists of hashes of a day, a thousand entries each."""
    number = -1
    while True:
        rows = _fetch(
            "SELECT number, hashes FROM sw_audit_seal_parts WHERE day = %s AND number > %s "
            "ORDER BY number LIMIT 1",
            [str(day), number],
        )
        if not rows:
            return
        number, hashes = rows[0]
        yield (
            hashes.encode("utf-8", "surrogateescape") if isinstance(hashes, str) else bytes(hashes)
        )


def load_prunings() -> list[PruningRow]:
    rows = _fetch(
        "SELECT CAST(through AS text), statement, signature FROM sw_audit_prunings "
        "ORDER BY through, id"
    )
    return [PruningRow(row[0], _to_text(row[1]), _to_text(row[2])) for row in rows]


def load_chain_row() -> ChainRow | None:
    rows = _fetch("SELECT seals, last_seal_sha256, open_from FROM sw_audit_chain LIMIT 1")
    if not rows:
        return None
    seals, digest, open_from = rows[0]
    return ChainRow(seals, _to_text(digest), _to_hex(open_from))


def find_seal(column: str, value: Any) -> SealRow | None:
    """Return the seal with this `number` or `day`."""
    rows = _fetch(
        f"SELECT number, CAST(day AS text), entries, key_id, statement, signature "  # noqa: S608
        f"FROM sw_audit_seals WHERE {column} = %s",
        [str(value) if column == "day" else value],
    )
    return _build_seal(rows[0]) if rows else None


def _build_seal(row: tuple[Any, ...]) -> SealRow:
    number, day, entries, key_id, statement, signature = row
    return SealRow(number, day, entries, key_id, _to_text(statement), _to_text(signature))


def find_invalid_ids(limit: int) -> list[str]:
    """Return IDs that belong to no day, which only SQLite stores."""
    if connection.vendor == "postgresql":
        return []
    rows = _fetch(
        f"SELECT id FROM {_TABLE} WHERE typeof(id) <> 'text' OR length(id) <> 32 "  # noqa: S608
        f"OR id GLOB '*[^0-9a-f]*' LIMIT {int(limit)}"
    )
    return [_to_text(row[0]) for row in rows]


def count_records(start: UUID | None, end: UUID | None = None) -> int:
    """Return the number of entries with IDs from `start` up to before `end`."""
    bounds = [(sign, value) for sign, value in ((">=", start), ("<", end)) if value is not None]
    where = " AND ".join(f"id {sign} %s" for sign, _ in bounds) or "1 = 1"
    sql = f"SELECT count(*) FROM {_TABLE} WHERE {where}"  # noqa: S608
    return int(_fetch(sql, [uuid_param(value) for _, value in bounds])[0][0])


def _build_record(row: tuple[Any, ...]) -> EntryRecord:
    fields = {
        name: value if type(value) is str else _to_json(value)
        for name, value in zip(FIELDS, row, strict=True)
    }
    entry_id = _to_hex(row[0])
    fields["id"] = format_id(entry_id) if isinstance(row[0], UUID | str) else _to_json(row[0])
    fields["at"] = _parse_time(fields["at"])
    fields["details"] = _parse_json(fields["details"])
    return EntryRecord(entry_id, fields)


def _to_hex(value: Any) -> str:
    """Return a UUID as 32 hexadecimal digits, and anything else as it is."""
    return value.hex if isinstance(value, UUID) else _to_text(value)


def _parse_time(value: Any) -> Any:
    try:
        parsed = datetime.fromisoformat(value)
        return format_time(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return {"invalid": value}


def _parse_json(value: Any) -> Any:
    try:
        return parse_json(value)
    except (TypeError, ValueError):
        return {"invalid": value}


def _to_json(value: Any) -> Any:
    return {"bytes": bytes(value).hex()} if isinstance(value, _BYTES) else value


def _to_text(value: Any) -> str:
    if isinstance(value, _BYTES):
        return bytes(value).decode("utf-8", "surrogateescape")
    return str(value)


def _fetch(sql: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with _lenient_text():
        return fetch(sql, params or ())


_decode_text = partial(str, encoding="utf-8", errors="surrogateescape")


@contextmanager
def _lenient_text() -> Iterator[None]:
    """Let SQLite return text that is not UTF-8, and not fail."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        yield
        return
    raw = connection.connection
    previous = raw.text_factory
    raw.text_factory = _decode_text
    try:
        yield
    finally:
        raw.text_factory = previous
