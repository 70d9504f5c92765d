from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from rooms.lookup.rooms import list_media
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row


class Command(ListCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", help="room (ID or alias)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")

    def load_rows(self, room: str, tenant: str, limit: int | None, **options: Any) -> Iterable[Row]:
        return list_media(operator=self.operator, name=room, tenant=tenant, limit=limit)

    def get_id(self, row: Row) -> Any:
        return f"{row['sha256']}-{row['name']}"
