from __future__ import annotations

from federation.keys.descriptor import show_descriptor
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(show_descriptor)
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
        report = self.call_service(given)
        self.output.print_json(report.document())
        self.output.log(report.sentence)
        for warning in report.warnings:
            self.output.warn(warning)
