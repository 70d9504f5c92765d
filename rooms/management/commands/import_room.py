from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from rooms.bundle.format import MIB
from rooms.management.bundle_io import open_input, print_import_result
from rooms.management.commands._import_arguments import add_arguments
from rooms.services.imports.import_room import import_room
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Read a bundle from stdin and make a new room of it. It is checked as a whole before "
        "anything is written; importing it again makes another room, unless --once is given."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, workspace: str, input: str | None, **options: Any) -> None:  # noqa: A002
        with open_input(
            input,
            at_terminal="Write `< bundle.zip` behind the command, or pass --input bundle.zip.",
            unreadable="Name a bundle with --input.",
        ) as file:
            imported = import_room(
                operator=self.operator,
                workspace=workspace,
                tenant=options["tenant"],
                participant=options["participant"],
                file=file,
                most_bytes=settings.CONFIG.get_int("SCAIWAVE_IMPORT_LIMIT_MB") * MIB,
                now=timezone.now(),
                once=options["once"],
                cut_references=options["cut_references"],
                dry_run=options["dry_run"],
                key=options["key"],
                require_signature=options["require_signature"],
                bars=self.output.progress,
            )
        print_import_result(self.output, imported)
