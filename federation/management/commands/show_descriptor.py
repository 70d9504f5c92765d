from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.queries.show_descriptor import show_descriptor
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Print what this server tells its peers, as they fetch it: for the administrator of a "
        "peer. It is JSON with and without --json, and holds no secret."
    )

    def handle(self, **options: Any) -> None:
        shown = show_descriptor(operator=self.operator, now=timezone.now())
        self.output.print_json(shown.document)
        if not shown.misnamed:
            self.output.log(f"Peers fetch it from {shown.address}.")
        for warning in shown.warnings:
            self.output.warn(warning)
