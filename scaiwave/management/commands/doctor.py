from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.management.output import print_health_report
from scaiwave.operations.doctor.media import MediaDepth
from scaiwave.operations.doctor.runner import run_checks


class DoctorArguments(Arguments):
    fix: bool = option("before the checks, repair faults that need no decision")
    media: MediaDepth = option(
        "compare all attachments with their files, not a sample: their sizes or hashes",
        nargs="?",
        choices=("sizes", "hashes"),
        const="sizes",
        default="sample",
    )


class Command(OperatorCommand[DoctorArguments]):
    service = staticmethod(run_checks)
    words = "doctor"
    area, place = "server", 210
    is_everyday = True
    profile = "full"
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave doctor", "scaiwave doctor --fix", "scaiwave doctor --media --json")
    help = (
        "Check this server and suggest fixes.\n\n"
        "The first failed check decides the exit code; warnings don't count.\n"
        "Files of interrupted imports are removed, and the report is stored for the admin "
        "site.\nWith --fix, modes of files are corrected and leftovers of killed processes "
        "removed.\nNothing else is changed."
    )
    changes = True
    reports_settings = True

    def run(self, given: DoctorArguments) -> None:
        report = self.call_service(given)
        if self.output.as_json:
            self.output.print_json(report.document())
        else:
            print_health_report(self.output, report)
        if report.exit_code:
            raise SystemExit(report.exit_code)
