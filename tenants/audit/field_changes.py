"""Changed fields of a record: for the audit log, for --json and as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaiwave.core.change import ChangeResult
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


@dataclass(frozen=True)
class UpdateResult(ChangeResult):
    """`subject` is the record of this kind with the new values, in a dry run too.

    `rest` are further keys of the JSON document, and `cautions` the warnings.
    """

    kind: str
    subject: Row
    changes: Sequence[FieldChange]
    dry_run: bool
    cautions: Sequence[str] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """Return what an operator reads, such as `  name  Lab → The Lab`."""
        kind, slug = self.kind, self.subject["slug"]
        if not self.changes:
            return [f"{kind.capitalize()} {slug} already has these values; nothing changed."]
        width = max(len(change.field) for change in self.changes)
        lines = (
            f"  {each.field:<{width}}  {each.old_text} → {each.new_text}" for each in self.changes
        )
        done = f"{kind.capitalize()} {slug} changed:"
        return [f"Would change {kind} {slug}:" if self.dry_run else done, *lines]

    @property
    def warnings(self) -> Sequence[str]:
        return self.cautions

    def document(self) -> Row:
        changes = [change.document() for change in self.changes]
        return {self.kind: self.subject, "changed": bool(changes), "changes": changes, **self.rest}
