from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.time_window import parse_time_window
from rooms.errors import ExportIncomplete
from rooms.exports.export_room import ExportResult, export_room
from rooms.exports.export_rooms import BulkExportResult, ExportOutcome, export_rooms
from rooms.exports.sinks import write_to_file, write_to_stream
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import Output
from scaiwave.console.text import pluralize
from scaiwave.core.errors import UsageError

COLUMNS = (
    Column("id", "ID"),
    Column("name", "Name"),
    Column("outcome", "Outcome"),
    Column("events", "Events", ColumnType.COUNT),
    Column("media", "Media", ColumnType.COUNT),
    Column("missing_media", "Missing", ColumnType.COUNT),
    Column("size_bytes", "Size", ColumnType.BYTES),
    Column("reason", "Reason"),
)


class Command(OperatorCommand):
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
        add("--since", metavar="TIME", help="start of the period: earlier events are left out")
        add(
            "--until",
            metavar="TIME",
            help="end of the period: events at this time or later are left out",
        )
        add("--no-media", action="store_true", help="leave out the attachments' files")
        add("--all", action="store_true", help="export all rooms of the tenant")
        add(
            "--output-dir",
            type=Path,
            metavar="DIR",
            help="with --all: directory for one <room-id>.zip per room; existing bundles are kept",
        )

    def handle(self, room: str | None, output: Path | None, **options: Any) -> None:
        _check_usage(room, output, options)
        export_options = {
            "operator": self.operator,
            "tenant": options["tenant"],
            "window": parse_time_window(options["since"], options["until"]),
            "with_media": not options["no_media"],
        }
        if room is None:
            with self.output.progress("Exporting rooms") as progress:
                bulk_result = export_rooms(
                    **export_options,
                    directory=options["output_dir"],
                    clock=timezone.now,
                    progress=progress,
                )
            _print_bulk_result(self.output, bulk_result)
            return
        with self.output.progress("Exporting events") as progress:
            start = partial(
                export_room, **export_options, room=room, now=timezone.now(), progress=progress
            )
            if output:
                result = write_to_file(start, output, overwrite=options["force"])
            else:
                result = write_to_stream(start, sys.stdout.buffer)
        _print_result(self.output, result, output)


def _check_usage(room: str | None, output: Path | None, options: Mapping[str, Any]) -> None:
    """Raises `UsageError`."""
    if options["force"] and output is None:
        raise UsageError("--force needs --output.", fix="Add --output FILE, or leave it out.")
    if options["all"]:
        _check_all(room, output, options["output_dir"])
    elif options["output_dir"]:
        raise UsageError(
            "--output-dir needs --all.", fix="Pass --output FILE for one room, or add --all."
        )
    elif room is None:
        raise UsageError(
            "No room was given.",
            fix="Name a room by its ID or alias, or pass --all and --output-dir DIR.",
        )
    elif output is None:
        _check_stdout(as_json=options["json"])


def _check_all(room: str | None, output: Path | None, directory: Path | None) -> None:
    if room is not None:
        raise UsageError(
            f"Can't combine --all with a room: {room}.", fix="Leave out one of the two."
        )
    if output is not None or directory is None:
        raise UsageError("--all needs an output directory.", fix="Pass --output-dir DIR.")


def _check_stdout(*, as_json: bool) -> None:
    if as_json:
        raise UsageError(
            "Can't write both the bundle and JSON to stdout.",
            fix="Add --output room.zip to --json.",
        )
    if sys.stdout.isatty():
        raise UsageError(
            "Can't write a ZIP file to a terminal.",
            fix="Append `> room.zip` to the command, or pass --output room.zip.",
        )


def _print_result(output: Output, result: ExportResult, file: Path | None) -> None:
    """Print to stderr if stdout is the bundle."""
    if output.as_json:
        output.print_json({**result.document(), "file": str(file)})
    print_sentence = output.print_line if file else output.log
    for sentence in result.sentences():
        print_sentence(sentence)
    for warning in result.warnings:
        output.warn(warning)


def _print_bulk_result(output: Output, result: BulkExportResult) -> None:
    """Print the result, then raise `ExportIncomplete` if a room failed."""
    if output.as_json:
        output.print_json(result.document())
    else:
        output.print_table("rooms", COLUMNS, result.rooms)
        output.print_line(result.sentence)
    if failed := result.count(ExportOutcome.FAILED):
        raise ExportIncomplete(
            f"Export failed for {failed:,} of {pluralize(len(result.rooms), 'room')}."
        )
