from __future__ import annotations

import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.window import read_window
from rooms.management.commands._exports import check_usage, tell_room, tell_rooms
from rooms.services.deliver_export import write_to_file, write_to_stream
from rooms.services.export_room import export_room
from rooms.services.export_rooms import export_rooms
from scaiwave.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Write a room as a bundle, a ZIP file with everything that was said in it, as of one "
        "moment. It goes to stdout, so send that into a file or a pipe."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("room", nargs="?", help="the room to export: id or alias")
        parser.add_argument("--tenant", required=True, help="tenant of the room: slug or id")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="write this file instead of stdout"
        )
        parser.add_argument("--since", metavar="TIME", help="leave out what was sent before this")
        parser.add_argument(
            "--until", metavar="TIME", help="leave out what was sent at this time or later"
        )
        parser.add_argument("--no-media", action="store_true", help="leave out attachments' bytes")
        parser.add_argument("--all", action="store_true", help="export all rooms of the tenant")
        parser.add_argument(
            "--output-dir",
            type=Path,
            metavar="DIR",
            help="with --all: write <room-id>.zip for each, and keep those that are there",
        )

    def handle(self, room: str | None, output: Path | None, **options: Any) -> None:
        check_usage(room, output, options)
        wanted = {
            "operator": self.operator,
            "tenant": options["tenant"],
            "window": read_window(options["since"], options["until"]),
            "with_media": not options["no_media"],
        }
        if room is None:
            with self.output.progress("Exporting rooms") as progress:
                many = export_rooms(
                    **wanted,
                    folder=options["output_dir"],
                    clock=timezone.now,
                    progress=progress,
                )
            tell_rooms(self.output, many)
            return
        with self.output.progress("Exporting events") as progress:
            begin = partial(export_room, **wanted, room=room, now=timezone.now(), progress=progress)
            if output:
                one = write_to_file(begin, output)
            else:
                one = write_to_stream(begin, sys.stdout.buffer)
        tell_room(self.output, one, output)
