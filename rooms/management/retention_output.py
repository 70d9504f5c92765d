"""Options and output of `admin retention preview` and `admin retention run`."""

from __future__ import annotations

from scaiwave.cli.arguments import ONLY_ROOM, ONLY_TENANT, Arguments, option
from scaiwave.console.columns import Column, ColumnType, Part

ROOM_COLUMNS = (
    Column("tenant", "Tenant"),
    Column("name", "Room", part=Part.NAME),
    Column("deleted_events", "Deleted", ColumnType.COUNT),
    Column("redacted_events", "Redacted", ColumnType.COUNT),
    Column("emptied_events", "Emptied", ColumnType.COUNT),
    Column("files", "Files", ColumnType.COUNT),
    Column("file_bytes", "Size", ColumnType.BYTES),
)


class ScopeArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    room: str | None = option(ONLY_ROOM)
