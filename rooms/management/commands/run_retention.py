from __future__ import annotations

from rooms.management.retention_output import ROOM_COLUMNS, ScopeArguments
from rooms.retention.run_retention import preview_retention, run_retention
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.calls import call_with


class Command(OperatorCommand[ScopeArguments]):
    service = staticmethod(run_retention)
    words = "admin retention run"
    summary = "Delete messages and files that are too old"
    area, place = "rooms", 134
    permission = "MANAGE_TENANTS"
    tables = (("rooms", ROOM_COLUMNS),)
    examples = (
        "scaiwave admin retention run --dry-run",
        "scaiwave admin retention run --tenant acme --yes",
    )
    help = (
        "Delete messages and files that are older than the retention policies allow, unless a hold "
        "covers them. An interrupted run is continued by the next one."
    )
    changes = True

    def run(self, given: ScopeArguments) -> None:
        if self.dry_run:
            self.print_report(call_with(preview_retention, self.offer(given)))
            return
        with self.output.progress("Events removed") as progress:
            report = self.call_service(given, progress=progress)
        self.print_report(report)
