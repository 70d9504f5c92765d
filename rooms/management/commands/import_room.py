from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from rooms.bundle.format import MIB
from rooms.management.commands._bundles import FOUND, IMPORTED, opened
from rooms.services.import_room import import_room
from scaiwave.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Read a bundle from stdin and make a new room of it. It is checked as a whole before "
        "anything is written; importing it again makes another room, unless --once is given."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("workspace", help="where the room goes: id or slug of a workspace")
        parser.add_argument("--tenant", required=True, help="tenant of the workspace: slug or id")
        parser.add_argument(
            "--as",
            dest="participant",
            metavar="PARTICIPANT",
            required=True,
            help="whose room it will be, an owner or editor of the workspace: id, e-mail or @name",
        )
        parser.add_argument(
            "--input", metavar="FILE", help="read this file where it lies, instead of stdin"
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="if this bundle has made a room of the workspace already, say which and stop",
        )
        parser.add_argument(
            "--cut-references",
            action="store_true",
            help="leave out references to events that are not in the bundle",
        )
        parser.add_argument(
            "--key", help="the signer's public key, besides this server's own keys: ed25519:…"
        )
        parser.add_argument(
            "--require-signature",
            action="store_true",
            help="refuse a bundle without a valid signature by a known key",
        )

    def handle(self, workspace: str, input: str | None, **options: Any) -> None:  # noqa: A002
        with opened(input) as file, self.output.progress("Importing") as progress:
            result = import_room(
                operator=self.operator,
                workspace=workspace,
                tenant=options["tenant"],
                participant=options["participant"],
                file=file,
                most_bytes=settings.CONFIG.number("SCAIWAVE_IMPORT_LIMIT_MB") * MIB,
                now=timezone.now(),
                once=options["once"],
                cut_references=options["cut_references"],
                dry_run=options["dry_run"],
                key=options["key"],
                require_signature=options["require_signature"],
                progress=progress,
            )
        for warning in result.warnings:
            self.output.warn(warning)
        if self.output.as_json:
            self.output.document(result.document())
            return
        self.output.line(result.sentence)
        told = IMPORTED if result.imported or result.dry_run else FOUND
        self.output.record(told, result.row())
