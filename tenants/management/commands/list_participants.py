from __future__ import annotations

from argparse import ArgumentParser
from contextlib import closing
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column
from scaiwave.console.output import to_json
from tenants.management.arguments import positive_int
from tenants.models import ParticipantType
from tenants.queries.participants import list_participants
from tenants.queries.status_filters import STATUSES

COLUMNS = (
    Column("display_name", "Name"),
    Column("email", "E-mail", optional=True),
    Column("fqid", "FQID", no_wrap=True),
    Column("type", "Type", optional=True),
    Column("status", "Status"),
    Column("reason", "Reason"),
)


class Command(OperatorCommand):
    help = "List the participants of a tenant, by name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant, by slug, ID or ScaiKey ID")
        parser.add_argument(
            "--status", choices=STATUSES, default="all", help="only with this status (default all)"
        )
        parser.add_argument(
            "--type", choices=ParticipantType.values, help="only of this type (default all)"
        )
        parser.add_argument(
            "--search", metavar="TEXT", help="part of a name, e-mail address or local id"
        )
        parser.add_argument(
            "--limit", metavar="N", type=positive_int, help="maximum number of results"
        )
        parser.add_argument(
            "--jsonl", action="store_true", help="print one JSON object per line, as rows are read"
        )

    def handle(self, tenant: str, status: str, jsonl: bool, **options: Any) -> None:
        participants = list_participants(
            operator=self.operator,
            tenant=tenant,
            status=status,
            participant_type=options["type"],
            search=options["search"],
            limit=options["limit"],
        )
        if not jsonl:
            self.output.print_table("participants", COLUMNS, list(participants))
            return
        # If the reader stops early, the cursor must be closed before the connection.
        with closing(participants):
            for participant in participants:
                self.output.stdout.write(to_json(participant, indent=None) + "\n")
