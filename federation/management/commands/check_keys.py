from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.queries.check_keys import check_keys
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column

COLUMNS = (
    Column("key_id", "Key id", whole=True),
    Column("state", "State"),
    Column("outcome", "Outcome"),
)


class Command(OperatorCommand):
    help = (
        "Check that every stored private half decrypts, and signs what its public half verifies. "
        "Exit code 1 when one does not fit, 2 when one can't be decrypted."
    )

    def handle(self, **options: Any) -> None:
        checked = check_keys(operator=self.operator, now=timezone.now())
        rows = [{**row, "outcome": "pass" if row["ok"] else "fail"} for row in checked.keys]
        self.output.print_table("keys", COLUMNS, rows)
        for problem in filter(None, (row["problem"] for row in rows)):
            self.output.print_line(problem)
        if checked.problem is not None:
            raise checked.problem
