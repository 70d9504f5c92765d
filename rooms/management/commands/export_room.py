from __future__ import annotations

import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.time_window import parse_time_window
from rooms.exports.export_room import ExportResult, export_room
from rooms.exports.export_rooms import ChainOptions, export_rooms
from rooms.exports.increments import export_increment
from rooms.exports.sinks import write_to_file, write_to_stream
from rooms.imports.source import get_max_bytes
from rooms.management.bundle_io import check_export_usage, print_report
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part
from scaiwave.core.times import TIME_FORMATS

BULK_EXPORT_COLUMNS = (
    Column("id", "ID", part=Part.KEY),
    Column("name", "Name", part=Part.NAME),
    Column("outcome", "Outcome", part=Part.STATUS),
    Column("events", "Events", ColumnType.COUNT),
    Column("media", "Media", ColumnType.COUNT),
    Column("missing_media", "Missing", ColumnType.COUNT),
    Column("size_bytes", "Size", ColumnType.BYTES),
    Column("reason", "Reason", part=Part.ERROR),
)


class Command(OperatorCommand):
    words = "room export"
    summary = "Export a room as a bundle to stdout"
    area, place = "rooms", 70
    is_everyday = True
    permission = "EXPORT_ROOMS"
    examples = (
        "scaiwave room export lobby --tenant acme > lobby.zip",
        "scaiwave room export lobby --tenant acme --since 2026-11-01 --output november.zip",
        "scaiwave room export --all --tenant acme --output-dir /srv/bundles",
        "scaiwave room export lobby --tenant acme --since-bundle lobby.zip --output changes.zip",
    )
    help = (
        "Export a room as a bundle: a ZIP file with its events and media, from one consistent "
        "snapshot. The bundle goes to stdout; redirect it to a file or a pipe."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", nargs="?", help="room (ID or alias)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--output", type=Path, metavar="FILE", help="file to write instead of stdout")
        add("--force", action="store_true", help="overwrite an existing file (with --output)")
        add(
            "--since",
            metavar="TIME",
            help=f"start of the period in UTC: earlier events are left out; {TIME_FORMATS}",
        )
        add(
            "--until",
            metavar="TIME",
            help="end of the period in UTC: events at this time or later are left out",
        )
        add("--no-media", action="store_true", help="leave out the attachments' files")
        add("--all", action="store_true", help="export all rooms of the tenant")
        add(
            "--output-dir",
            type=Path,
            metavar="DIR",
            help="with --all: directory for one <room-id>.zip per room; existing bundles are kept",
        )
        add(
            "--since-bundle",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="export only the changes since this bundle; repeat for a base and its increments",
        )
        add(
            "--incremental",
            action="store_true",
            help="with --all: write a directory of bundles per room, each with the changes since "
            "the one before",
        )
        add(
            "--full-every",
            type=int,
            default=30,
            metavar="N",
            help="with --incremental: number of increments before a new whole bundle (default: 30)",
        )
        add(
            "--even-if-empty",
            action="store_true",
            help="write an increment even if nothing has changed",
        )

    def handle(self, room: str | None, output: Path | None, **options: Any) -> None:
        check_export_usage(room, output, options)
        export_options = {
            "operator": self.operator,
            "tenant": options["tenant"],
            "window": parse_time_window(options["since"], options["until"], now=timezone.now()),
            "with_media": not options["no_media"],
        }
        max_bytes = get_max_bytes()
        if room is None:
            with self.output.progress("Exporting rooms") as progress:
                bulk_result = export_rooms(
                    **export_options,
                    directory=options["output_dir"],
                    clock=timezone.now,
                    chains=ChainOptions(options["full_every"], options["even_if_empty"], max_bytes)
                    if options["incremental"]
                    else None,
                    progress=progress,
                )
            rooms = ("rooms", BULK_EXPORT_COLUMNS, bulk_result.rooms)
            lines, error = [bulk_result.sentence], bulk_result.error
            print_report(self.output, bulk_result.document(), rooms, lines=lines, error=error)
            return
        if options["since_bundle"]:
            del export_options["window"]
            with export_increment(
                **export_options,
                room=room,
                since=options["since_bundle"],
                now=timezone.now(),
                max_bytes=max_bytes,
                progress_factory=self.output.progress,
            ) as export:
                result = export.write(
                    output, overwrite=options["force"], even_if_empty=options["even_if_empty"]
                )
            self._print_result(result, output)
            return
        with self.output.progress("Exporting events") as progress:
            start = partial(
                export_room, **export_options, room=room, now=timezone.now(), progress=progress
            )
            if output:
                result = write_to_file(start, output, overwrite=options["force"])
            else:
                result = write_to_stream(start, sys.stdout.buffer)
        self._print_result(result, output)

    def _print_result(self, result: ExportResult, file: Path | None) -> None:
        """Print to stderr if stdout is the bundle."""
        document = {**result.document(), "file": str(file) if result.size else None}
        print_report(self.output, document)
        print_sentence = self.output.print_line if file else self.output.log
        for sentence in result.sentences():
            print_sentence(sentence)
        for warning in result.warnings:
            self.output.warn(warning)
        if result.error:
            raise result.error
