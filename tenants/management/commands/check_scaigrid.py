from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.usage.check_scaigrid import SmokeTestStep, smoke_test


class Command(OperatorCommand):
    service = staticmethod(smoke_test)
    words = "scaigrid check"
    summary = "Check the connection to ScaiGrid"
    area, place = "server", 120
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave scaigrid check", "scaiwave scaigrid check --embed --tenant acme")
    help = (
        "Check the connection to ScaiGrid step by step. Run it first on SW_AI_NO_TOKEN.\n\n"
        "The first failed step decides the exit code; nothing is changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--embed", action="store_true", help="also create a vector")
        add("--accounting", action="store_true", help="also read this month's usage")
        add(
            "--tenant",
            metavar="SLUG",
            help="additional step: check that the models of this tenant exist",
        )

    def handle(self, **options: Any) -> None:
        result = self.call_service(options, report=self._print_step)
        if self.output.as_json:
            self.output.print_json(result.document())
        else:
            self.output.print_line(result.sentence)
        if result.exit_code:
            raise SystemExit(result.exit_code)

    def _print_step(self, step: SmokeTestStep) -> None:
        for line in step.lines():
            self.output.print_line(line)
        self.output.stdout.flush()
