from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.core.times import TIME_FORMATS
from tenants.audit.queries.entries import AuditFilter, follow_audit, list_audit
from tenants.audit.texts import format_details, format_subject
from tenants.management.arguments import ensure_period, since, until

DEFAULT_LIMIT = 50

COLUMNS = (
    Column("created_at", "Time", ColumnType.TIME, part=Part.NAME),
    Column("by", "Operator", part=Part.NAME),
    Column("origin", "From", part=Part.EXTRA),
    Column("action", "Action", part=Part.NAME),
    Column("on", "Subject", part=Part.NAME),
)
DETAILS = Column("details", "Details", part=Part.STATUS)
KEYS = (
    *("id", "created_at", "operator", "operator_id", "role", "origin", "action", "tenant_id"),
    *("tenant", "subject_type", "subject_id", "subject", "details"),
)


class ListAuditArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    operator: str | None = option("only actions of this operator", metavar="NAME")
    action: str | None = option("only this command, such as create-tenant", metavar="COMMAND")
    subject: str | None = option("only this subject (name, ID or @name:server)", metavar="NAME")
    since: datetime | None = option(
        f"start of the period: {TIME_FORMATS}", metavar="TIME", type=since
    )
    until: datetime | None = option(
        "end of the period (a date includes the whole day)", metavar="TIME", type=until
    )
    details: bool = option("add a column with details")


class Command(ListCommand[ListAuditArguments]):
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

    def load_rows(self, given: ListAuditArguments) -> Iterable[Row]:
        ensure_period(given.since, given.until)
        filters = AuditFilter(
            given.tenant, given.operator, given.action, given.subject, given.since, given.until
        )
        if self.options.jsonl:
            return follow_audit(
                operator=self.operator,
                filters=filters,
                after=self.options.after,
                limit=self.options.limit,
            )
        return list_audit(
            operator=self.operator,
            filters=filters,
            after=self.options.after,
            limit=self.options.limit or DEFAULT_LIMIT,
        )

    def get_columns(self, given: ListAuditArguments) -> Sequence[Column]:
        return [*COLUMNS, DETAILS] if given.details else COLUMNS

    def format_row(self, row: Row) -> Row:
        return {
            **row,
            "by": f"{row['operator']} ({row['role']})",
            "on": format_subject(row),
            "details": format_details(row["details"]),
        }
