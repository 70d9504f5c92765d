from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.people.export_participant import export_participant, write_participant_export
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "participant",
            help="participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )
        add("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        add("--output", type=Path, metavar="FILE", required=True, help="file to write")
        add("--force", action="store_true", help="overwrite an existing file")
        add("--reason", default="", help="reason for the audit log, without personal data")

    def handle(self, participant: str, output: Path, **options: Any) -> None:
        with self.output.progress("Exporting rooms") as progress:
            start = partial(
                export_participant,
                operator=self.operator,
                name=participant,
                tenant=options["tenant"],
                reason=options["reason"],
                now=timezone.now(),
                progress=progress,
            )
            result = write_participant_export(start, output, overwrite=options["force"])
        if self.output.as_json:
            self.output.print_json({**result.document(), "file": str(output)})
        self.output.print_line(result.sentence)
        for warning in result.warnings:
            self.output.warn(warning)
