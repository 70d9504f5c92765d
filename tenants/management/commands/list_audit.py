from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.core.times import TIME_FORMATS
from tenants.audit.queries.entries import AuditFilter, follow_audit, list_audit
from tenants.audit.texts import format_details, format_subject
from tenants.management.arguments import ensure_period, since, until

DEFAULT_LIMIT = 50
FILTER_OPTIONS = ("tenant", "operator", "action", "subject", "since", "until")

COLUMNS = (
    Column("created_at", "Time", ColumnType.TIME, part=Part.NAME),
    Column("by", "Operator", part=Part.NAME),
    Column("origin", "From", part=Part.EXTRA),
    Column("action", "Action", part=Part.NAME),
    Column("on", "Subject", part=Part.NAME),
)
DETAILS = Column("details", "Details", part=Part.STATUS)
KEYS = (
    *(
        "id",
        "created_at",
        "operator",
        "operator_id",
        "role",
        "origin",
        "action",
        "tenant_id",
        "tenant",
    ),
    *("subject_type", "subject_id", "subject", "details"),
)


class Command(ListCommand):
    words = "admin audit"
    summary = "Show the audit log"
    area, place = "server", 80
    is_everyday = True
    permission = "VIEW"
    examples = (
        "scaiwave admin audit --tenant acme --since 7d",
        "scaiwave admin audit --operator anna@example.com --action suspend-tenant",
        "scaiwave admin audit --jsonl --after 019aab53-0000-7000-8000-000000000000",
    )
    plural = "audit_entries"
    columns = COLUMNS
    keys = KEYS
    default_limit = DEFAULT_LIMIT
    json_lines = True
    paged = True
    help = (
        "Show the audit log, newest first. --jsonl prints all entries, oldest first, one JSON "
        "object per line. A collector that passes the last ID it has seen to --after gets every "
        "entry exactly once. On PostgreSQL, the entries of the last seconds are left for its next "
        "call, because earlier ones may not be committed yet."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--operator", metavar="NAME", help="only actions of this operator")
        parser.add_argument(
            "--action", metavar="COMMAND", help="only this command, such as create-tenant"
        )
        parser.add_argument(
            "--subject", metavar="NAME", help="only this subject (name, ID or @name:server)"
        )
        parser.add_argument(
            "--since", metavar="TIME", type=since, help=f"start of the period: {TIME_FORMATS}"
        )
        parser.add_argument(
            "--until",
            metavar="TIME",
            type=until,
            help="end of the period (a date includes the whole day)",
        )
        parser.add_argument("--details", action="store_true", help="add a column with details")

    def load_rows(self, limit: int | None, after: UUID | None, **options: Any) -> Iterable[Row]:
        ensure_period(options["since"], options["until"])
        filters = AuditFilter(**{name: options[name] for name in FILTER_OPTIONS})
        if options["jsonl"]:
            return follow_audit(operator=self.operator, filters=filters, after=after, limit=limit)
        return list_audit(
            operator=self.operator, filters=filters, after=after, limit=limit or DEFAULT_LIMIT
        )

    def get_columns(self, **options: Any) -> Sequence[Column]:
        return [*COLUMNS, DETAILS] if options["details"] else COLUMNS

    def format_row(self, row: Row) -> Row:
        return {
            **row,
            "by": f"{row['operator']} ({row['role']})",
            "on": format_subject(row),
            "details": format_details(row["details"]),
        }
