from __future__ import annotations

from argparse import ArgumentParser
from shutil import get_terminal_size
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column
from scaiwave.console.output import is_terminal
from scaiwave.operations.doctor.findings import format_advice
from scaiwave.operations.doctor.runner import run_checks

COLUMNS = (
    Column("state", "State"),
    Column("check", "Check"),
    Column("message", "Finding"),
)


class Command(OperatorCommand):
    words = "doctor"
    area, place = "server", 210
    is_everyday = True
    profile = "full"
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave doctor", "scaiwave doctor --fix", "scaiwave doctor --json")
    help = (
        "Check this server and suggest fixes.\n\n"
        "The first failed check decides the exit code; warnings don't count.\n"
        "Files of interrupted imports are removed, and the report is stored for the admin "
        "site.\nWith --fix, modes of files are corrected and leftovers of killed processes "
        "removed.\nNothing else is changed."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--fix",
            action="store_true",
            help="before the checks, repair faults that need no decision",
        )

    def handle(self, **options: Any) -> None:
        report = run_checks(
            operator=self.operator,
            config=settings.CONFIG,
            now=timezone.now(),
            dry_run=options["dry_run"],
            fix=options["fix"],
        )
        if self.output.as_json:
            self.output.print_json(report.document())
        else:
            self.output.print_table(
                "checks", COLUMNS, [item.document() for item in report.findings]
            )
            terminal = is_terminal(self.output.stdout)
            columns = get_terminal_size().columns if terminal else None
            for line in format_advice(report.findings, columns=columns):
                self.output.print_line(line)
            self.output.print_line()
            self.output.print_line(report.summary)
        if report.exit_code:
            raise SystemExit(report.exit_code)
