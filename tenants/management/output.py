"""Tables and texts that several commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from scaiwave.console.columns import Column, ColumnType, columns_of
from scaiwave.console.output import Output
from tenants.lookup.serializers import Row
from tenants.people.queries.token_usage import UsageSummary

AUDIT_COLUMNS = (
    Column("created_at", "Time", ColumnType.TIME),
    *columns_of("operator", "action", "subject"),
)

STATUS_KEYS = (
    *("scaikey_status", "deactivated_at", "suspended_manually_at", "created_at", "updated_at"),
)
"""The keys of partners, tenants and participants that tell more about their status."""

Section = tuple[str, Sequence[Column], Sequence[Row]]


def print_sections(output: Output, *sections: Section) -> None:
    """Print tables with titles, leaving out those without rows."""
    for title, columns, rows in sections:
        if rows:
            output.print_line()
            output.print_line(title)
            output.print_table(title, columns, rows)


def format_status(row: Row) -> str:
    """Return `active`, or the reason why not."""
    return str(row["reason"] or row["status"])


def format_membership_path(rows: Sequence[Row]) -> list[Row]:
    """Add how each participant is in the group: directly, or through which other groups."""
    return [
        {**row, "way": "directly" if row["direct"] else f"through {', '.join(row['through'])}"}
        for row in rows
    ]


def format_sync_changes(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Add what changed from what to what; without stored values the names of the fields."""
    return [{**row, "what": format_values(row["fields"], row["values"])} for row in rows]


def format_values(fields: Sequence[str], values: Sequence[Mapping[str, Any]] | None) -> str:
    """Format `{field, old, new}` as `name Ann → Anna`; without values only the fields."""
    if values is None:
        return ", ".join(fields)
    return ", ".join(
        f"{value['field']} {_format_value(value['old'])} → {_format_value(value['new'])}"
        for value in values
    )


def _format_value(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def format_role_path(rows: Sequence[Row]) -> list[Row]:
    """Add the path from the participant's group to the group that the role was granted to."""
    return [
        {**row, "way": f"through {' > '.join(row['path'])}" if row["path"] else "directly"}
        for row in rows
    ]


def print_usage_notes(output: Output, usage: UsageSummary, now: datetime) -> None:
    """Print how old the AI token figures are, and which tenants are near their cap."""
    if note := usage.format_age(now):
        output.log(note)
    if warning := usage.format_warning():
        output.warn(warning)
