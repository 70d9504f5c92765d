from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from tenants.usage.check_scaigrid import SmokeTestStep, smoke_test


class CheckScaigridArguments(Arguments):
    embed: bool = option("also create a vector")
    accounting: bool = option("also read this month's usage")
    tenant: str | None = option(
        "additional step: check that the models of this tenant exist", metavar="SLUG"
    )


class Command(OperatorCommand[CheckScaigridArguments]):
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

    def run(self, given: CheckScaigridArguments) -> None:
        result = self.call_service(given, report=self._print_step)
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
