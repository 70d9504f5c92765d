from __future__ import annotations

from typing import Any

from django.utils import timezone

from rooms.management.retention_output import ScopeArguments, print_retention
from rooms.retention.run_retention import preview_retention, run_retention
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand[ScopeArguments]):
    words = "admin retention run"
    summary = "Delete messages and files that are too old"
    area, place = "rooms", 134
    permission = "MANAGE_TENANTS"
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
        scope: dict[str, Any] = {
            "operator": self.operator,
            "tenant": given.tenant,
            "room": given.room,
            "now": timezone.now(),
        }
        if self.dry_run:
            result = preview_retention(**scope)
        else:
            with self.output.progress("Events removed") as progress:
                result = run_retention(**scope, confirm=self.confirm, progress=progress)
        print_retention(self, result)
