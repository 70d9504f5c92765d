"""Arguments and output of the commands that move tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaiwave.cli.arguments import A
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of

MISSING_FILES = "number of files that may be missing in the export (default: 0)"
_COLUMNS = {
    column.key: column
    for column in (
        *columns_of("tenant", "id"),
        Column("scaikey_tenant_id", "ScaiKey ID"),
        Column("sync_removals", "Removals by syncs", ColumnType.FLAG),
        Column("server_name", "Server"),
        Column("snapshot_at", "Exported"),
        Column("frozen", "Frozen", ColumnType.FLAG),
        Column("people_mapped", "People mapped", ColumnType.COUNT),
        Column("people_placeholders", "Placeholders", ColumnType.COUNT),
        *columns_of(
            "people_refused",
            "rooms",
            "rooms_not_exported",
            "events",
            "events_not_exported",
            "files_missing",
            kind=ColumnType.COUNT,
        ),
        Column("rows", "Rows of tables", ColumnType.COUNT),
        Column("bundles", "Bundles imported", ColumnType.COUNT),
        Column("size_bytes", "Size", ColumnType.BYTES),
        Column("key_id", "Key"),
        Column("opened", "Open", ColumnType.FLAG),
        Column("name", "Name"),
        Column("room_id", "Room"),
        Column("room_type", "Type"),
        Column("fqid", "Address"),
        *columns_of("reason", "table", "difference"),
    )
}


class MoveCommand(OperatorCommand[A]):
    def show(self, document: Mapping[str, Any]) -> None:
        """Print the figures, and lists of what needs attention."""
        self.output.print_record([_COLUMNS[key] for key in document if key in _COLUMNS], document)
        for name, rows in document.items():
            if isinstance(rows, list) and rows:
                self.output.print_table(name, [_COLUMNS[key] for key in rows[0]], rows)
