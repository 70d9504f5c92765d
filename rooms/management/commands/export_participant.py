from __future__ import annotations

from functools import partial
from pathlib import Path

from rooms.people.export_participant import export_participant, write_participant_export
from scaiwave.cli.arguments import ONLY_TENANT, PARTICIPANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class ExportParticipantArguments(Arguments):
    participant: str = argument(PARTICIPANT)
    tenant: str | None = option(ONLY_TENANT)
    output: Path = option("file to write", metavar="FILE", required=True)
    force: bool = option("overwrite an existing file")
    reason: str = option("reason for the audit log, without personal data", default="")


class Command(OperatorCommand[ExportParticipantArguments]):
    service = staticmethod(export_participant)
    words = "admin export-participant"
    summary = "Export a person's data to hand over to them"
    area, place = "people", 45
    permission = "EXPORT_ROOMS"
    examples = (
        "scaiwave admin export-participant anna@acme.example --output anna.zip",
        'scaiwave admin export-participant @anna:chat.example.com --output anna.zip --reason "17"',
    )
    help = (
        "Export what this server has about a person as a ZIP file: profile, memberships, roles, "
        "audit entries, and their messages as JSON and as a transcript, with the files that they "
        "sent. Messages of others are left out."
    )

    def run(self, given: ExportParticipantArguments) -> None:
        with self.output.progress("Exporting rooms") as progress:
            start = partial(self.call_service, given, name=given.participant, progress=progress)
            report = write_participant_export(start, given.output, overwrite=given.force)
        self.print_report(report)
