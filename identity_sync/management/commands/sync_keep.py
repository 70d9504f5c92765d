from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from identity_sync.management.removal_arguments import add_removals, read_ids
from identity_sync.removals.decide import Selection, keep_removals
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.errors import UsageError
from tenants.management.arguments import until


class Command(OperatorCommand):
    service = staticmethod(keep_removals)
    words = "sync keep"
    summary = "Keep access that pending removals would take"
    area, place = "sync", 90
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave sync keep 5f3a9c01d2e4 --reason "wrong in ScaiKey, ticket 4711"',)
    help = (
        "Keep the access that pending removals would take, until a date. They are then out of the "
        "alarms. At the end they wait for a decision again."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_removals(parser)
        parser.add_argument("--reason", required=True, help="reason for the audit log")
        parser.add_argument(
            "--until",
            metavar="DATE",
            type=until,
            help="last day of the access, at most 90 days ahead (default 30 days)",
        )

    def handle(self, **options: Any) -> None:
        ids = read_ids(options["removals"], options["from_file"])
        if not ids:
            raise UsageError(
                "Name the removals by their IDs, or by --from.",
                fix="`scaiwave sync removals` lists the IDs.",
            )
        selection = Selection(ids, is_file=options["from_file"] is not None)
        self.print_change(self.call_service(options, selection=selection))
