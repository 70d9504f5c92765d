"""Options and output of `admin retention preview` and `admin retention run`."""

from __future__ import annotations

from argparse import ArgumentParser

from rooms.retention.run_retention import RetentionResult
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part

COLUMNS = (
    Column("tenant", "Tenant"),
    Column("name", "Room", part=Part.NAME),
    Column("deleted_events", "Deleted", ColumnType.COUNT),
    Column("redacted_events", "Redacted", ColumnType.COUNT),
    Column("emptied_events", "Emptied", ColumnType.COUNT),
    Column("files", "Files", ColumnType.COUNT),
    Column("file_bytes", "Size", ColumnType.BYTES),
)

PREVIEW_KEYS = ("rooms", "totals", "on_hold")


def add_scope(parser: ArgumentParser) -> None:
    parser.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
    parser.add_argument("--room", help="only this room of the tenant (ID or alias)")


def print_retention(command: OperatorCommand, result: RetentionResult) -> None:
    """A preview changes nothing, so its JSON lacks `changed`."""
    if not command.output.as_json and result.rooms:
        command.output.print_table("rooms", COLUMNS, result.rooms)
    if command.output.as_json and not command.changes:
        command.output.print_json({key: result.document()[key] for key in PREVIEW_KEYS})
        return
    command.print_change(result)
