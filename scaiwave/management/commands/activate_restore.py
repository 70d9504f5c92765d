from __future__ import annotations

from identity_sync.management.output import list_changes
from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.backup.activate_restore import Drift, activate_restore


class ActivateRestoreArguments(Arguments):
    no_drift: bool = option("no drift (reads no lists of ScaiKey)")


class Command(OperatorCommand[ActivateRestoreArguments]):
    service = staticmethod(activate_restore)
    words = "admin activate-restore"
    summary = "Start syncs and jobs of a restored server"
    area, place = "server", 68
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin activate-restore --dry-run",
        "scaiwave admin activate-restore",
    )
    help = (
        "Let a restored server call ScaiKey and run jobs again. It shows first what the next sync "
        "would change."
    )
    changes = True

    def run(self, given: ActivateRestoreArguments) -> None:
        values = {"measures_drift": not given.no_drift, "show_drift": self._show_drift}
        self.print_report(self.call_service(given, **values))

    def _show_drift(self, drift: Drift | None) -> None:
        if self.output.as_json:
            return
        if drift is None:
            self.output.print_line("Drift: not measured, by --no-drift or without a registration.")
            return
        changes = {kind: list_changes({kind: counts}) for kind, counts in drift.items()}
        self.output.print_line(
            "The next sync would change:" if any(changes.values()) else "Drift: none."
        )
        for kind, text in changes.items():
            if text:
                self.output.print_line(f"  {kind:<16}{text}")
