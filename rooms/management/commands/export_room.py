from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.chain import MAX_BUNDLES
from rooms.bundle.time_window import parse_time_window
from rooms.exports.export_room import ExportResult, export_room
from rooms.exports.export_rooms import ChainOptions, export_rooms
from rooms.exports.increments import export_increment
from rooms.exports.sinks import write_to_file, write_to_stream
from rooms.imports.source import get_max_bytes
from scaiwave.cli.arguments import ROOM, TENANT, Arguments, Excludes, Needs, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from scaiwave.core.errors import UsageError
from scaiwave.core.times import TIME_FORMATS

BULK_EXPORT_COLUMNS = (
    Column("id", "ID", part=Part.KEY),
    Column("name", "Name", part=Part.NAME),
    Column("outcome", "Outcome", part=Part.STATUS),
    *columns_of("events", "media", kind=ColumnType.COUNT),
    Column("missing_media", "Missing", ColumnType.COUNT),
    Column("size_bytes", "Size", ColumnType.BYTES),
    Column("reason", "Reason", part=Part.ERROR),
)


NO_DIRECTORY = "--all needs an output directory."


class ExportRoomArguments(Arguments):
    room: str | None = argument(ROOM, nargs="?")
    tenant: str = option(TENANT, required=True)
    output: Path | None = option("file to write instead of stdout", metavar="FILE")
    force: bool = option("overwrite an existing file (with --output)")
    since: str | None = option(
        f"start of the period in UTC: earlier events are left out; {TIME_FORMATS}", metavar="TIME"
    )
    until: str | None = option(
        "end of the period in UTC: events at this time or later are left out", metavar="TIME"
    )
    no_media: bool = option("leave out the attachments' files")
    all: bool = option("export all rooms of the tenant")
    output_dir: Path | None = option(
        "with --all: directory for one <room-id>.zip per room; existing bundles are kept",
        metavar="DIR",
    )
    since_bundle: list[Path] = option(
        "export only the changes since this bundle; repeat for a base and its increments",
        metavar="FILE",
    )
    incremental: bool = option(
        "with --all: write a directory of bundles per room, each with the changes since the one "
        "before"
    )
    full_every: int = option(
        "with --incremental: number of increments before a new whole bundle (default: 30)",
        default=30,
        metavar="N",
    )
    even_if_empty: bool = option("write an increment even if nothing has changed")


class Command(OperatorCommand[ExportRoomArguments]):
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

    option_rules = (
        Needs("--force", "--output", "Add --output FILE, or leave it out."),
        Excludes(
            "--all", "ROOM", "Leave out one of the two.", "Can't combine --all with a room: {room}."
        ),
        Excludes("--all", "--output", "Pass --output-dir DIR.", NO_DIRECTORY),
        Needs("--all", "--output-dir", "Pass --output-dir DIR.", NO_DIRECTORY),
        Needs("--output-dir", "--all", "Pass --output FILE for one room, or add --all."),
        Needs(
            "",
            "ROOM --all",
            "Name a room by its ID or alias, or pass --all and --output-dir DIR.",
            "No room was given.",
        ),
        Needs("--incremental", "--all", "For one room, pass its bundles with --since-bundle."),
        Excludes("--since-bundle", "--all", "Pass --incremental instead."),
        Excludes(
            "--incremental --since-bundle",
            "--since --until",
            "Leave out --since and --until.",
            "Can't combine a period with a chain, which is of a whole room.",
        ),
        Needs(
            "--even-if-empty",
            "--since-bundle --incremental",
            "Leave it out: a whole bundle is always written.",
        ),
    )

    def run(self, given: ExportRoomArguments) -> None:
        self._check_usage(given)
        export_options: dict[str, Any] = {
            "operator": self.operator,
            "tenant": given.tenant,
            "with_media": not given.no_media,
        }
        window = parse_time_window(given.since, given.until, now=timezone.now())
        if given.room is None:
            self._export_rooms(given, **export_options, window=window)
            return
        export_options |= {"room": given.room, "now": timezone.now()}
        if given.since_bundle:
            with export_increment(
                **export_options,
                since=given.since_bundle,
                max_bytes=get_max_bytes(),
                progress_factory=self.output.progress,
            ) as export:
                result = export.write(
                    given.output, overwrite=given.force, even_if_empty=given.even_if_empty
                )
        else:
            with self.output.progress("Exporting events") as progress:
                start = partial(export_room, **export_options, window=window, progress=progress)
                if given.output:
                    result = write_to_file(start, given.output, overwrite=given.force)
                else:
                    result = write_to_stream(start, sys.stdout.buffer)
        self._print_result(result, given.output)

    def _export_rooms(self, given: ExportRoomArguments, **export_options: Any) -> None:
        chains = ChainOptions(given.full_every, given.even_if_empty, get_max_bytes())
        with self.output.progress("Exporting rooms") as progress:
            report = export_rooms(
                **export_options,
                directory=given.output_dir,
                clock=timezone.now,
                chains=chains if given.incremental else None,
                progress=progress,
            )
        self.print_report(report)

    def show(self, document: Mapping[str, Any]) -> None:
        self.output.print_table("rooms", BULK_EXPORT_COLUMNS, document["rooms"])

    def _print_result(self, result: ExportResult, file: Path | None) -> None:
        """Print to stderr if stdout is the bundle."""
        self.print_result({**result.document(), "file": str(file) if result.size else None})
        print_sentence = self.output.print_line if file else self.output.log
        for sentence in result.sentences():
            print_sentence(sentence)
        for warning in result.warnings:
            self.output.warn(warning)
        if result.error:
            raise result.error

    def _check_usage(self, given: ExportRoomArguments) -> None:
        if not 1 <= given.full_every < MAX_BUNDLES:
            raise UsageError(
                f"--full-every is not between 1 and {MAX_BUNDLES - 1}.", fix="Pass such a number."
            )
        is_stdout = given.output is None and not given.all
        if is_stdout and self.output.as_json:
            raise UsageError(
                "Can't write both the bundle and JSON to stdout.",
                fix="Add --output room.zip to --json.",
            )
        if is_stdout and sys.stdout.isatty():
            raise UsageError(
                "Can't write a ZIP file to a terminal.",
                fix="Append `> room.zip` to the command, or pass --output room.zip.",
            )
