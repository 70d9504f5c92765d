from __future__ import annotations

from django.utils import timezone

from federation.keys.check_keys import check_keys
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, Part, columns_of

COLUMNS = (
    Column("key_id", "Key ID", part=Part.KEY),
    *columns_of("state", "outcome", part=Part.STATUS),
)


class Command(OperatorCommand):
    words = "admin federation key check"
    summary = "Check that every key decrypts and signs"
    area, place = "federation", 50
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin federation key check",)
    help = (
        "Check that every stored private key decrypts and matches its public key. "
        "Exits with 1 if one does not match, with 2 if one can't be decrypted."
    )

    def run(self, given: Arguments) -> None:
        result = check_keys(operator=self.operator, now=timezone.now())
        if self.output.as_json:
            self.output.print_json({"keys": result.keys})
        else:
            rows = [{**row, "outcome": "pass" if row["ok"] else "fail"} for row in result.keys]
            self.output.print_table("keys", COLUMNS, rows)
        for problem in filter(None, (row["problem"] for row in result.keys)):
            self.output.print_line(problem)
        if result.problem is not None:
            raise result.problem
