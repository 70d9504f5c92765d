from __future__ import annotations

from argparse import ArgumentParser
from contextlib import closing
from typing import Any
from uuid import UUID

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import to_json
from tenants.management.commands import _times
from tenants.management.commands._audit import COLUMNS, DETAILS, format_entries
from tenants.management.output import positive_int
from tenants.queries.audit import AuditFilter, AuditPage, follow_audit, list_audit

PAGE = 50
FILTER = ("tenant", "operator", "action", "subject", "since", "until")


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
        parser.add_argument("--since", metavar="WHEN", type=_times.since, help=_times.HELP)
        parser.add_argument(
            "--until", metavar="WHEN", type=_times.until, help="a day is meant whole"
        )
        parser.add_argument(
            "--limit",
            metavar="N",
            type=positive_int,
            help=f"no more than so many (default {PAGE}; with --jsonl all)",
        )
        parser.add_argument("--after", metavar="ID", type=UUID, help="go on after this entry")
        parser.add_argument(
            "--details", action="store_true", help="what was done, in a further column"
        )
        parser.add_argument("--jsonl", action="store_true", help="print one JSON object a line")

    def handle(self, jsonl: bool, limit: int | None, after: UUID | None, **options: Any) -> None:
        only = AuditFilter(**{name: options[name] for name in FILTER})
        if not jsonl:
            page = list_audit(operator=self.operator, only=only, after=after, limit=limit or PAGE)
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
        self.output.print_table("audit_entries", columns, format_entries(page.entries))
        if page.next is not None:
            self.output.log(f"There are older ones: add --after {page.next}")
