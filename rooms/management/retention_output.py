"""Options and output of `admin retention preview` and `admin retention run`."""

from __future__ import annotations

from rooms.retention.run_retention import RetentionResult
from scaiwave.cli.arguments import ONLY_ROOM, ONLY_TENANT, Arguments, option
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


class ScopeArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    room: str | None = option(ONLY_ROOM)


def print_retention(command: OperatorCommand, result: RetentionResult) -> None:
    """A preview changes nothing, so its JSON lacks `changed`."""
    if not command.output.as_json and result.rooms:
        command.output.print_table("rooms", COLUMNS, result.rooms)
    if command.output.as_json and not command.changes:
        command.output.print_json({key: result.document()[key] for key in PREVIEW_KEYS})
        return
    command.print_change(result)
