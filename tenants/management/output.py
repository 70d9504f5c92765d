"""What several verbs show in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import Output
from tenants.queries.serializers import Row
from tenants.queries.usage import cap_warning, format_age

AUDIT_COLUMNS = (
    Column("at", "When", ColumnType.TIME),
    Column("operator", "Who"),
    Column("action", "What"),
    Column("subject", "Of what"),
)

Section = tuple[str, Sequence[Column], Sequence[Row]]


def print_sections(output: Output, *sections: Section) -> None:
    """Tables below each other, each under its title; one without rows is left out."""
    for title, columns, rows in sections:
        if rows:
            output.print_line()
            output.print_line(title)
            output.print_table(title, columns, rows)


def format_status(thing: Row) -> str:
    """active, or why not."""
    return str(thing["reason"] or thing["status"])


def format_membership_path(rows: Sequence[Row]) -> list[Row]:
    """How somebody is in a group: directly, or through which other groups."""
    return [
        {**row, "way": "directly" if row["direct"] else f"through {', '.join(row['through'])}"}
        for row in rows
    ]


def with_paths(rows: Sequence[Row]) -> list[Row]:
    """From the group a person is in to the one that has the role, each in the next."""
    return [
        {**row, "way": f"through {' > '.join(row['path'])}" if row["path"] else "directly"}
        for row in rows
    ]


def print_usage_notes(output: Output, tenants: Sequence[Row], now: datetime) -> None:
    """How old the figures are, and whose are close to their cap."""
    if note := format_age(tenants, now):
        output.log(note)
    if warning := cap_warning(tenants):
        output.warn(warning)
