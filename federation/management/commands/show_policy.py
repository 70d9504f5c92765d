from __future__ import annotations

from federation.policy.queries import show_policy
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.core.report import Report

COLUMNS = (
    Column("default_mode", "Mode"),
    Column("allowed_peers", "Allowed peers"),
    Column("max_foreign_participants_per_room", "Foreign participants per room", ColumnType.COUNT),
    Column("updated_at", "Updated", ColumnType.TIME),
)


class Command(OperatorCommand):
    words = "admin federation policy show"
    area, place = "federation", 120
    permission = "VIEW_PLATFORM"
    tables = (("policy", COLUMNS),)
    examples = ("scaiwave admin federation policy show",)
    help = "Show the federation policy. Until a policy is set, federation is closed."

    def run(self, given: Arguments) -> None:
        self.print_report(Report({"policy": show_policy(operator=self.operator)}))
