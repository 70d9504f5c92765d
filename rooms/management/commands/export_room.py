from __future__ import annotations

import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.time_window import parse_window
from rooms.management.commands._exports import (
    add_arguments,
    check_usage,
    print_bulk_export,
    print_export_result,
)
from rooms.services.exports.export_room import export_room
from rooms.services.exports.export_rooms import export_rooms
from rooms.services.exports.sinks import write_to_file, write_to_stream
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Write a room as a bundle, a ZIP file with everything that was said in it, as of one "
        "moment. It goes to stdout, so send that into a file or a pipe."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, room: str | None, output: Path | None, **options: Any) -> None:
        check_usage(room, output, options)
        wanted = {
            "operator": self.operator,
            "tenant": options["tenant"],
            "window": parse_window(options["since"], options["until"]),
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
            print_bulk_export(self.output, many)
            return
        with self.output.progress("Exporting events") as progress:
            begin = partial(export_room, **wanted, room=room, now=timezone.now(), progress=progress)
            if output:
                one = write_to_file(begin, output)
            else:
                one = write_to_stream(begin, sys.stdout.buffer)
        print_export_result(self.output, one, output)
