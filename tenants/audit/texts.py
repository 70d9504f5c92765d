"""The subject and the details of an audit entry, as tables show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scaiwave.console.columns import Row
from scaiwave.console.output import to_text

_EMPTY: tuple[Any, ...] = (None, "", [], {})


def format_subject(entry: Row) -> str:
    subject = f"{entry['subject_type']} {entry['subject'] or entry['subject_id']}"
    if entry["tenant"] is None or entry["subject_id"] == entry["tenant_id"]:
        return subject
    return f"{subject}, tenant {entry['tenant']}"


def format_details(details: Row) -> str:
    """Leave out empty values, and sort by name, since PostgreSQL does not keep the order."""
    items = ((name, value) for name, value in sorted(details.items()) if value not in _EMPTY)
    return ", ".join(_format_detail(name, value) for name, value in items)


def _format_detail(name: str, value: Any) -> str:
    if name == "changes" and isinstance(value, list):
        return _format_changes((item["field"], item["old"], item["new"]) for item in value)
    if name == "changed" and isinstance(value, dict):
        return _format_changes((field, *pair) for field, pair in value.items())
    return f"{name} {to_text(value)}"


def _format_changes(changes: Iterable[tuple[str, Any, Any]]) -> str:
    return ", ".join(f"{field} {to_text(old)} → {to_text(new)}" for field, old, new in changes)
