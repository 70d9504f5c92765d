from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any
from uuid import UUID

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import to_json
from tenants.management.arguments import PERIOD_HELP, positive_int, since, until
from tenants.queries.audit import AuditFilter, AuditPage, follow_audit, list_audit
from tenants.queries.serializers import Row

DEFAULT_LIMIT = 50
FILTER_OPTIONS = ("tenant", "operator", "action", "subject", "since", "until")

COLUMNS = (
    Column("at", "When", ColumnType.TIME),
    Column("who", "Who"),
    Column("origin", "From", optional=True),
    Column("action", "What", no_wrap=True),
    Column("which", "Of what"),
)
DETAILS = Column("details", "Details")
_EMPTY: tuple[Any, ...] = (None, "", [], {})


class Command(OperatorCommand):
    help = (
        "Who did what to which, when and from where: the newest first. With --jsonl all of it, the "
        "oldest first, one JSON object a line: a collector comes back with --after and the last "
        "id it has seen, and gets every entry once. On PostgreSQL those of the last seconds wait "
        "for its next time, since older ones may still be on their way."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only entries of this tenant: slug, id, or ScaiKey id")
        parser.add_argument("--operator", metavar="NAME", help="only what this operator did")
        parser.add_argument("--action", metavar="VERB", help="only this, such as create-tenant")
        parser.add_argument("--subject", metavar="NAME", help="only of this one: name or id")
        parser.add_argument("--since", metavar="WHEN", type=since, help=PERIOD_HELP)
        parser.add_argument("--until", metavar="WHEN", type=until, help="a day is meant whole")
        parser.add_argument(
            "--limit",
            metavar="N",
            type=positive_int,
            help=f"no more than so many (default {DEFAULT_LIMIT}; with --jsonl all)",
        )
        parser.add_argument("--after", metavar="ID", type=UUID, help="go on after this entry")
        parser.add_argument(
            "--details", action="store_true", help="what was done, in a further column"
        )
        parser.add_argument("--jsonl", action="store_true", help="print one JSON object a line")

    def handle(self, jsonl: bool, limit: int | None, after: UUID | None, **options: Any) -> None:
        only = AuditFilter(**{name: options[name] for name in FILTER_OPTIONS})
        if not jsonl:
            page = list_audit(
                operator=self.operator, only=only, after=after, limit=limit or DEFAULT_LIMIT
            )
            self._print(page, with_details=options["details"])
            return
        # Whoever reads may stop reading; the cursor has to be gone before the connection is.
        entries = follow_audit(operator=self.operator, only=only, after=after, limit=limit)
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
            self.output.log(f"There are older ones: add --after {page.next}")


def _format_entries(entries: Sequence[Row]) -> list[Row]:
    return [
        {
            **entry,
            "who": f"{entry['operator']} ({entry['role']})",
            "which": _format_subject(entry),
            "details": _format_details(entry["details"]),
        }
        for entry in entries
    ]


def _format_subject(entry: Row) -> str:
    which = f"{entry['subject_type']} {entry['subject'] or entry['subject_id']}"
    if entry["tenant"] is None or entry["subject_id"] == entry["tenant_id"]:
        return which
    return f"{which}, tenant {entry['tenant']}"


def _format_details(details: Row) -> str:
    """What is empty tells nothing; PostgreSQL has an order of its own, so it is by name."""
    told = ((name, value) for name, value in sorted(details.items()) if value not in _EMPTY)
    return ", ".join(_format_detail(name, value) for name, value in told)


def _format_detail(name: str, value: Any) -> str:
    if name == "changes" and isinstance(value, list):
        return _format_changes((one["field"], one["old"], one["new"]) for one in value)
    if name == "changed" and isinstance(value, dict):
        return _format_changes((field, *pair) for field, pair in value.items())
    return f"{name} {_format_value(value)}"


def _format_changes(changes: Iterable[tuple[str, Any, Any]]) -> str:
    return ", ".join(
        f"{field} {_format_value(old)} → {_format_value(new)}" for field, old, new in changes
    )


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value, indent=None)
