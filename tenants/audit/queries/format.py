"""Version 1 of what audit seals are made of: the canonical form of entries, and statements.

docs/reference/audit-seal-format.md is the specification, for verification with other programs.
A change of it needs a new version: every release verifies older seals with their own version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Any
from uuid import UUID

from tenants.audit.queries.entries import get_uuid7_time, min_uuid7_at

VERSION = 1
SEAL_FORMAT = "scaiwave-audit-seal"
PRUNING_FORMAT = "scaiwave-audit-pruning"
EXPORT_FORMAT = "scaiwave-audit-export"
ID_BYTES = 16
HASH_BYTES = 32
RECORD_BYTES = ID_BYTES + HASH_BYTES
"""An entry in a list of hashes."""
MAX_PART_ENTRIES = 1000
MIN_AUDIT_DAYS = 30
"""Least age of entries that the retention may delete."""

FIELDS = (
    *("id", "at", "operator", "operator_id", "operator_role", "origin", "action", "tenant_id"),
    *("tenant_slug", "subject_type", "subject_id", "subject_name", "details"),
)
"""The sealed fields of an entry: all of them, as the database has them."""

MAX_DEPTH = 64
"""How many arrays and objects may be inside each other."""
_MAX_SAFE_INT = 2**53

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def parse_json(text: str) -> Any:
    """Return a value that has a canonical form. Raises ValueError.

    Refuse what programs read differently, since a change of it would not be found: names that occur
    twice, and numbers that a 64-bit float rounds.
    """
    try:
        value = _decode(text)
    except RecursionError:
        raise ValueError("too deep") from None
    # Most texts have so few brackets that their depth need not be known.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise ValueError("too deep")
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _parse_float(text: str) -> float:
    value = float(text)
    if repr(value) != text and not (isfinite(value) and _is_equal(text, value)):
        raise ValueError("not a 64-bit float")
    return value


def _is_equal(text: str, value: float) -> bool:
    try:
        return Decimal(text) == Decimal(repr(value))
    except ArithmeticError:  # an exponent of many digits
        return False


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_parse_float, parse_constant=_refuse_constant
).decode


def _is_deeper(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in value)


def canonicalize(value: Any) -> bytes:
    """Return the canonical JSON: sorted keys, no spaces, ASCII, and one form of each number."""
    return _encode(_normalize(value)).encode()


def _normalize(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        return {key: _normalize(each) for key, each in value.items()}
    if kind is list:
        return [_normalize(each) for each in value]
    # One of int and float for each number: PostgreSQL returns 1e16 as an integer and keeps 1.0,
    # SQLite the text that was stored.
    if abs(value) < _MAX_SAFE_INT:
        return int(value) if value == int(value) else value
    if isinstance(value, float):
        return value
    try:
        nearest = float(value)
    except OverflowError:
        return value
    return nearest if Decimal(repr(nearest)) == value else value


def hash_record(record: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of an entry, given as a mapping of its fields."""
    return sha256(canonicalize(record)).digest()


def hash_statement(statement: str) -> str:
    return sha256(statement.encode("utf-8", "surrogatepass")).hexdigest()


def encode_id(entry_id: str) -> bytes:
    """Return the 16 bytes of an ID in hexadecimal digits; for an invalid ID its text."""
    try:
        return bytes.fromhex(entry_id)
    except ValueError:
        return entry_id.encode("utf-8", "surrogatepass")


def format_id(entry_id: str) -> str:
    """Return an ID as commands print it; an invalid one as it is."""
    try:
        return str(UUID(entry_id))
    except ValueError:
        return entry_id


def format_time(value: datetime) -> str:
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def get_start_id(day: date) -> UUID:
    """Return the lower bound of the IDs of a day in UTC."""
    return min_uuid7_at(datetime.combine(day, time.min, UTC))


def get_next_start_id(day: date) -> UUID:
    return get_start_id(day + timedelta(days=1))


def get_day(entry_id: UUID) -> date:
    """Return the day of an entry: that in the first 48 bits of its ID. Raises ValueError."""
    try:
        return get_uuid7_time(entry_id).date()
    except OverflowError:
        raise ValueError(f"{entry_id} is not an ID of an audit entry") from None
