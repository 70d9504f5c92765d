"""Arguments and output of the commands that move tenants."""

from __future__ import annotations

from rooms.moves.result import MoveResult
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType

MISSING_FILES = "number of files that may be missing in the export (default: 0)"
_COLUMNS = {
    column.key: column
    for column in (
        Column("tenant", "Tenant"),
        Column("id", "ID"),
        Column("scaikey_tenant_id", "ScaiKey ID"),
        Column("sync_removals", "Removals by syncs", ColumnType.FLAG),
        Column("server_name", "Server"),
        Column("snapshot_at", "Exported"),
        Column("frozen", "Frozen", ColumnType.FLAG),
        Column("people_mapped", "People mapped", ColumnType.COUNT),
        Column("people_placeholders", "Placeholders", ColumnType.COUNT),
        Column("people_refused", "People refused", ColumnType.COUNT),
        Column("rooms", "Rooms", ColumnType.COUNT),
        Column("rooms_not_exported", "Rooms not exported", ColumnType.COUNT),
        Column("events", "Events", ColumnType.COUNT),
        Column("events_not_exported", "Events not exported", ColumnType.COUNT),
        Column("files_missing", "Files missing", ColumnType.COUNT),
        Column("rows", "Rows of tables", ColumnType.COUNT),
        Column("bundles", "Bundles imported", ColumnType.COUNT),
        Column("size_bytes", "Size", ColumnType.BYTES),
        Column("key_id", "Key"),
        Column("opened", "Open", ColumnType.FLAG),
        Column("name", "Name"),
        Column("room_id", "Room"),
        Column("room_type", "Type"),
        Column("fqid", "Address"),
        Column("reason", "Reason"),
        Column("table", "Table"),
        Column("difference", "Difference"),
    )
}


def print_move(command: OperatorCommand, result: MoveResult) -> None:
    """Print the result, then raise its error."""
    output = command.output
    act = {} if result.changed is None else {"changed": result.changed, "dry_run": command.dry_run}
    if output.as_json:
        output.print_json({**result.figures, **result.lists, **act})
    else:
        output.print_record([_COLUMNS[key] for key in result.figures], result.figures)
        for name, rows in result.lists.items():
            if rows:
                output.print_table(name, [_COLUMNS[key] for key in rows[0]], rows)
        output.print_line(result.sentence)
    for warning in result.warnings:
        output.warn(warning)
    if result.error is not None:
        raise result.error
