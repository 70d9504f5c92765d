"""The audit, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scaiwave.console.output import Column, ColumnType, to_json
from tenants.queries.serializers import Row

COLUMNS = (
    Column("at", "When", ColumnType.TIME),
    Column("who", "Who"),
    Column("origin", "From", spare=True),
    Column("action", "What", whole=True),
    Column("which", "Of what"),
)
DETAILS = Column("details", "Details")
_EMPTY: tuple[Any, ...] = (None, "", [], {})


def format_entries(entries: Sequence[Row]) -> list[Row]:
    return [
        {
            **entry,
            "who": f"{entry['operator']} ({entry['role']})",
            "which": _which(entry),
            "details": _told(entry["details"]),
        }
        for entry in entries
    ]


def _which(entry: Row) -> str:
    which = f"{entry['subject_type']} {entry['subject'] or entry['subject_id']}"
    if entry["tenant"] is None or entry["subject_id"] == entry["tenant_id"]:
        return which
    return f"{which}, tenant {entry['tenant']}"


def _told(details: Row) -> str:
    """What is empty tells nothing; PostgreSQL has an order of its own, so it is by name."""
    told = ((name, value) for name, value in sorted(details.items()) if value not in _EMPTY)
    return ", ".join(_detail(name, value) for name, value in told)


def _detail(name: str, value: Any) -> str:
    if name == "changes" and isinstance(value, list):
        return _became((one["field"], one["old"], one["new"]) for one in value)
    if name == "changed" and isinstance(value, dict):
        return _became((field, *pair) for field, pair in value.items())
    return f"{name} {_written(value)}"


def _became(changes: Iterable[tuple[str, Any, Any]]) -> str:
    return ", ".join(f"{field} {_written(old)} → {_written(new)}" for field, old, new in changes)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value, indent=None)
