from __future__ import annotations

from django.utils import timezone

from federation.keys.descriptor import show_descriptor
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin federation descriptor"
    summary = "Print this server's federation descriptor"
    area, place = "federation", 70
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave admin federation descriptor",)
    help = (
        "Print this server's federation descriptor as peers fetch it. It is JSON even without "
        "--json, and contains no secrets."
    )

    def run(self, given: Arguments) -> None:
        result = show_descriptor(operator=self.operator, now=timezone.now())
        self.output.print_json(result.document)
        self.output.log(f"Peers fetch it from {result.address}.")
        for warning in result.warnings:
            self.output.warn(warning)
