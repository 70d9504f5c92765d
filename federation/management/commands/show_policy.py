from __future__ import annotations

from typing import Any

from federation.management.commands._policy import POLICY
from federation.queries.show_policy import show_policy
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = "Show whom this server federates with. Until somebody sets a policy it is closed."

    def handle(self, **options: Any) -> None:
        policy = show_policy(operator=self.operator)
        if self.output.as_json:
            self.output.print_json({"policy": policy})
        else:
            self.output.print_record(POLICY, policy)
