"""What `room export` takes, which options go together, and what is told of an export."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rooms.errors import ExportIncomplete
from rooms.services.exported_room import ExportResult, pluralize
from rooms.services.exported_rooms import BulkExportResult, ExportOutcome
from scaiwave.console.output import Column, ColumnType, Output
from scaiwave.errors import UsageError

ROOMS = (
    Column("id", "Id"),
    Column("name", "Name"),
    Column("outcome", "Outcome"),
    Column("events", "Events", ColumnType.COUNT),
    Column("media", "Media", ColumnType.COUNT),
    Column("missing_media", "Missing", ColumnType.COUNT),
    Column("bytes", "Size", ColumnType.BYTES),
    Column("reason", "Why"),
)


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("room", nargs="?", help="the room to export: id or alias")
    add("--tenant", required=True, help="tenant of the room: slug or id")
    add("--output", type=Path, metavar="FILE", help="write this file instead of stdout")
    add("--since", metavar="TIME", help="leave out what was sent before this")
    add("--until", metavar="TIME", help="leave out what was sent at this time or later")
    add("--no-media", action="store_true", help="leave out attachments' bytes")
    add("--all", action="store_true", help="export all rooms of the tenant")
    add(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="with --all: write <room-id>.zip for each, and keep those that are there",
    )


def check_usage(room: str | None, output: Path | None, options: Mapping[str, Any]) -> None:
    """Raises `UsageError`."""
    if options["all"]:
        _check_all(room, output, options["output_dir"])
    elif options["output_dir"]:
        raise UsageError(
            "--output-dir is for --all.", fix="Pass --output FILE for one room, or add --all."
        )
    elif room is None:
        raise UsageError(
            "There is no room given.",
            fix="Name one by its id or alias, or pass --all and --output-dir DIR.",
        )
    elif output is None:
        _check_stdout(as_json=options["json"])


def _check_all(room: str | None, output: Path | None, folder: Path | None) -> None:
    if room is not None:
        raise UsageError(
            f"--all and the room {room!r} don't go together.", fix="Leave out one of them."
        )
    if output is not None or folder is None:
        raise UsageError("--all needs a folder to write to.", fix="Pass --output-dir DIR.")


def _check_stdout(*, as_json: bool) -> None:
    if as_json:
        raise UsageError(
            "stdout can't be both the bundle and JSON.", fix="Add --output room.zip to --json."
        )
    if sys.stdout.isatty():
        raise UsageError(
            "The bundle is a ZIP file, and stdout is a terminal.",
            fix="Write `> room.zip` behind the command, or pass --output room.zip.",
        )


def print_export_result(output: Output, exported: ExportResult, file: Path | None) -> None:
    """Where stdout is the bundle, this is the talk."""
    if output.as_json:
        output.print_json({**exported.document(), "file": str(file)})
    tell = output.print_line if file else output.log
    for sentence in exported.sentences():
        tell(sentence)
    if exported.warning:
        output.warn(exported.warning)


def print_bulk_export(output: Output, exported: BulkExportResult) -> None:
    """Raises `ExportIncomplete` when a room failed, after all was told."""
    if output.as_json:
        output.print_json(exported.document())
    else:
        output.print_table("rooms", ROOMS, exported.rooms)
        output.print_line(exported.sentence)
    if failed := exported.count(ExportOutcome.FAILED):
        raise ExportIncomplete(
            f"{failed:,} of {pluralize(len(exported.rooms), 'room')} could not be exported."
        )
