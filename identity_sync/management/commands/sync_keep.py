from __future__ import annotations

from datetime import datetime

from identity_sync.management.removal_arguments import RemovalsArguments
from identity_sync.removals.decide import Selection, keep_removals
from scaiwave.cli.arguments import REASON, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.errors import UsageError
from tenants.management.arguments import until


class SyncKeepArguments(RemovalsArguments):
    reason: str = option(REASON, required=True)
    until: datetime | None = option(
        "last day of the access, at most 90 days ahead (default 30 days)",
        metavar="DATE",
        type=until,
    )


class Command(OperatorCommand[SyncKeepArguments]):
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

    def run(self, given: SyncKeepArguments) -> None:
        ids = given.read_ids()
        if not ids:
            raise UsageError(
                "Name the removals by their IDs, or by --from.",
                fix="`scaiwave sync removals` lists the IDs.",
            )
        selection = Selection(ids, is_file=given.from_file is not None)
        self.print_report(self.call_service(given, selection=selection))
