from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rooms.lookup.rooms import list_media
from scaiwave.cli.arguments import ROOM, TENANT, Arguments, argument, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row


class ListMediaArguments(Arguments):
    room: str = argument(ROOM)
    tenant: str = option(TENANT, required=True)


class Command(ListCommand[ListMediaArguments]):
    words = "room media list"
    summary = "List the files of a room"
    area, place = "rooms", 103
    permission = "VIEW"
    examples = ("scaiwave room media list launch-party --tenant acme",)
    plural = "media"
    columns = (
        Column("id", "ID", part=Part.KEY),
        Column("name", "File", part=Part.NAME),
        Column("size_bytes", "Size", ColumnType.BYTES),
        Column("missing_reason", "Missing", part=Part.ERROR),
        Column("reason", "Reason", part=Part.EXTRA),
        Column("purge_at", "Deleted on", ColumnType.TIME, part=Part.EXTRA),
    )
    keys = (
        *("id", "name", "sha256", "size_bytes", "mime_type", "scan_status", "missing_reason"),
        *("reason", "removed_at", "purge_at"),
    )
    help = (
        "List the files of a room, and the files that were removed from it, with the reason. Looks "
        "up every file in the media store."
    )

    def load_rows(self, given: ListMediaArguments) -> Iterable[Row]:
        return list_media(
            operator=self.operator, name=given.room, tenant=given.tenant, limit=self.options.limit
        )

    def get_id(self, row: Row) -> Any:
        return f"{row['sha256']}-{row['name']}"
