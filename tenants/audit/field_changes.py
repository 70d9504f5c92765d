"""Changed fields of a record: for the audit log, for --json and as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator
from tenants.audit.record import record_audit
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


def set_fields(record: Model, values: Row) -> list[FieldChange]:
    """Set values of a record without saving it; return the changes. Numbers are limits."""
    before = {field: getattr(record, field) for field in values}
    for field, value in values.items():
        setattr(record, field, value)
    return [
        FieldChange(field, old, values[field], _format_value(old), _format_value(values[field]))
        for field, old in before.items()
        if old != values[field]
    ]


def _format_value(value: str | int | None) -> str:
    if value is None:
        return "no limit"
    return f"{value:,}" if isinstance(value, int) else value or "none"


def record_changes(
    operator: Operator, action: str, record: Model, now: datetime, changes: Sequence[FieldChange]
) -> None:
    """Write the audit entry of changed fields."""
    details = {"changes": [change.document() for change in changes]}
    record_audit(operator, action, record, now, details)


def build_update(
    kind: str,
    subject: Row,
    changes: Sequence[FieldChange],
    *,
    dry_run: bool,
    cautions: Sequence[str] = (),
    rest: Mapping[str, Any] | None = None,
) -> Change:
    """Return the result of an update, with a line such as `  name  Lab → The Lab` for each change.

    `subject` is the record of this kind with the new values, in a dry run too.
    """
    words = ChangeWords(
        kind,
        f"Would change {kind} {{slug}}:",
        f"{kind.capitalize()} {{slug}} changed:",
        f"{kind.capitalize()} {{slug}} already has these values; nothing changed.",
    )
    width = max((len(change.field) for change in changes), default=0)
    return Change(
        words,
        subject,
        bool(changes) and not dry_run,
        bool(changes) and dry_run,
        rest={"changes": [change.document() for change in changes], **(rest or {})},
        cautions=cautions,
        notes=[f"  {each.field:<{width}}  {each.old_text} → {each.new_text}" for each in changes],
    )
