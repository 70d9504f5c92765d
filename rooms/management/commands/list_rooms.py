from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.models import RoomState, RoomType
from rooms.queries.rooms import SORTABLE, list_rooms
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.management.arguments import positive_int

COLUMNS = (
    Column("id", "ID", no_wrap=True),
    Column("name", "Name"),
    Column("alias", "Alias", optional=True),
    Column("type", "Type"),
    Column("state", "State", optional=True),
    Column("workspace", "Workspace", optional=True),
    Column("members", "Members", ColumnType.COUNT, optional=True),
    Column("events", "Events", ColumnType.COUNT),
    Column("media_bytes", "Media", ColumnType.BYTES, optional=True),
    Column("last_event_at", "Last event", ColumnType.TIME, optional=True),
    Column("exportable", "Exportable", ColumnType.FLAG),
)


class Command(OperatorCommand):
    help = "List the rooms of a tenant. Members are participants who have joined."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--type", choices=RoomType.values, help="only rooms of this type")
        add("--state", choices=RoomState.values, help="only rooms in this state")
        add("--workspace", help="only rooms of this workspace (slug or ID)")
        add("--search", metavar="TEXT", help="only rooms with TEXT in their name or alias")
        add(
            "--sort",
            default="name",
            metavar="COLUMN",
            help=f"sort column: {', '.join(SORTABLE)} (default name); "
            "a leading minus reverses the order: --sort=-events",
        )
        add("--reverse", action="store_true", help="reverse the order")
        add("--limit", metavar="N", type=positive_int, help="maximum number of rooms (default all)")

    def handle(self, tenant: str, sort: str, reverse: bool, **options: Any) -> None:
        rooms = list_rooms(
            operator=self.operator,
            tenant=tenant,
            room_type=options["type"],
            state=options["state"],
            workspace=options["workspace"],
            search=options["search"],
            sort=sort,
            reverse=reverse,
            limit=options["limit"],
        )
        self.output.print_table("rooms", COLUMNS, rooms)
