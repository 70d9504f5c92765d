from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any
from uuid import UUID

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import to_json
from tenants.management.arguments import TIME_FORMATS, positive_int, since, until
from tenants.queries.audit import AuditFilter, AuditPage, follow_audit, list_audit
from tenants.queries.serializers import Row

DEFAULT_LIMIT = 50
FILTER_OPTIONS = ("tenant", "operator", "action", "subject", "since", "until")

COLUMNS = (
    Column("at", "Time", ColumnType.TIME),
    Column("by", "Operator"),
    Column("origin", "From", optional=True),
    Column("action", "Action", no_wrap=True),
    Column("on", "Subject"),
)
DETAILS = Column("details", "Details")
_EMPTY: tuple[Any, ...] = (None, "", [], {})


class Command(OperatorCommand):
    help = (
        "Show the audit log, newest first. --jsonl prints all entries, oldest first, one JSON "
        "object per line. A collector that passes the last ID it has seen to --after gets every "
        "entry exactly once. On PostgreSQL, the entries of the last seconds are left for its next "
        "call, because earlier ones may not be committed yet."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant, by slug, ID or ScaiKey ID")
        parser.add_argument("--operator", metavar="NAME", help="only actions of this operator")
        parser.add_argument(
            "--action", metavar="COMMAND", help="only this command, such as create-tenant"
        )
        parser.add_argument("--subject", metavar="NAME", help="only this subject, by name or ID")
        parser.add_argument(
            "--since", metavar="WHEN", type=since, help=f"start of the period: {TIME_FORMATS}"
        )
        parser.add_argument(
            "--until",
            metavar="WHEN",
            type=until,
            help="end of the period (a date includes the whole day)",
        )
        parser.add_argument(
            "--limit",
            metavar="N",
            type=positive_int,
            help=f"maximum number of entries (default {DEFAULT_LIMIT}; with --jsonl all)",
        )
        parser.add_argument("--after", metavar="ID", type=UUID, help="continue after this entry")
        parser.add_argument("--details", action="store_true", help="add a column with details")
        parser.add_argument("--jsonl", action="store_true", help="print one JSON object per line")

    def handle(self, jsonl: bool, limit: int | None, after: UUID | None, **options: Any) -> None:
        filters = AuditFilter(**{name: options[name] for name in FILTER_OPTIONS})
        if not jsonl:
            page = list_audit(
                operator=self.operator, filters=filters, after=after, limit=limit or DEFAULT_LIMIT
            )
            self._print(page, with_details=options["details"])
            return
        # If the reader stops early, the cursor must be closed before the connection.
        entries = follow_audit(operator=self.operator, filters=filters, after=after, limit=limit)
        with closing(entries):
            for entry in entries:
                self.output.stdout.write(to_json(entry, indent=None) + "\n")

    def _print(self, page: AuditPage, *, with_details: bool) -> None:
        if self.output.as_json:
            self.output.print_json(page.document())
            return
        columns = [*COLUMNS, DETAILS] if with_details else COLUMNS
        self.output.print_table("audit_entries", columns, _format_entries(page.entries))
        if page.next is not None:
            self.output.log(f"More entries: add --after {page.next}")


def _format_entries(entries: Sequence[Row]) -> list[Row]:
    return [
        {
            **entry,
            "by": f"{entry['operator']} ({entry['role']})",
            "on": _format_subject(entry),
            "details": _format_details(entry["details"]),
        }
        for entry in entries
    ]


def _format_subject(entry: Row) -> str:
    subject = f"{entry['subject_type']} {entry['subject'] or entry['subject_id']}"
    if entry["tenant"] is None or entry["subject_id"] == entry["tenant_id"]:
        return subject
    return f"{subject}, tenant {entry['tenant']}"


def _format_details(details: Row) -> str:
    """Leave out empty values, and sort by name, since PostgreSQL does not keep the order."""
    items = ((name, value) for name, value in sorted(details.items()) if value not in _EMPTY)
    return ", ".join(_format_detail(name, value) for name, value in items)


def _format_detail(name: str, value: Any) -> str:
    if name == "changes" and isinstance(value, list):
        return _format_changes((item["field"], item["old"], item["new"]) for item in value)
    if name == "changed" and isinstance(value, dict):
        return _format_changes((field, *pair) for field, pair in value.items())
    return f"{name} {_format_value(value)}"


def _format_changes(changes: Iterable[tuple[str, Any, Any]]) -> str:
    return ", ".join(
        f"{field} {_format_value(old)} → {_format_value(new)}" for field, old, new in changes
    )


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value, indent=None)
