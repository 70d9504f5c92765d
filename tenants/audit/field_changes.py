"""Changed fields of a record: for the audit log, for --json and as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tenants.lookup.serializers import Row


@dataclass(frozen=True)
class FieldChange:
    """A changed field, or a changed key of the features, as JSON values and as texts."""

    field: str
    old: Any
    new: Any
    old_text: str
    new_text: str

    def document(self) -> Row:
        return {"field": self.field, "old": self.old, "new": self.new}


def compare_fields(before: Row, after: Row) -> list[FieldChange]:
    """Return the changes between two records with the same fields. Numbers are limits."""
    return [
        FieldChange(field, old, after[field], _format_value(old), _format_value(after[field]))
        for field, old in before.items()
        if old != after[field]
    ]


def _format_value(value: str | int | None) -> str:
    if value is None:
        return "no limit"
    return f"{value:,}" if isinstance(value, int) else value or "none"


def format_changes(
    entity: str, slug: str, changes: Sequence[FieldChange], *, dry_run: bool
) -> list[str]:
    """Return the lines that an operator reads, such as `  name  Lab → The Lab`."""
    if not changes:
        return [f"{entity.capitalize()} {slug} already has these values; nothing changed."]
    width = max(len(change.field) for change in changes)
    lines = (
        f"  {change.field:<{width}}  {change.old_text} → {change.new_text}" for change in changes
    )
    changed = f"{entity.capitalize()} {slug} changed:"
    return [f"Would change {entity} {slug}:" if dry_run else changed, *lines]
