from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.models import RoomState, RoomType
from rooms.queries.rooms import SORTABLE, list_rooms
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column, ColumnType
from tenants.management.output import positive_int

COLUMNS = (
    Column("id", "Id", whole=True),
    Column("name", "Name"),
    Column("alias", "Alias", spare=True),
    Column("type", "Type"),
    Column("state", "State", spare=True),
    Column("workspace", "Workspace", spare=True),
    Column("members", "Members", ColumnType.COUNT, spare=True),
    Column("events", "Events", ColumnType.COUNT),
    Column("media_bytes", "Media", ColumnType.BYTES, spare=True),
    Column("last_event_at", "Last event", ColumnType.TIME, spare=True),
    Column("exportable", "Exportable", ColumnType.FLAG),
)


class Command(OperatorCommand):
    help = "List the rooms of a tenant. Members are those who have joined."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")
        parser.add_argument("--type", choices=RoomType.values, help="(default every type)")
        parser.add_argument("--state", choices=RoomState.values, help="(default every state)")
        parser.add_argument("--workspace", help="only rooms of this workspace (slug or id)")
        parser.add_argument("--search", metavar="TEXT", help="part of a name or an alias")
        parser.add_argument(
            "--sort",
            default="name",
            metavar="COLUMN",
            help=f"{', '.join(SORTABLE)} (default name); --sort=-events has the most first",
        )
        parser.add_argument("--reverse", action="store_true", help="turn the order round")
        parser.add_argument("--limit", metavar="N", type=positive_int, help="no more than so many")

    def handle(self, tenant: str, sort: str, reverse: bool, **options: Any) -> None:
        rooms = list_rooms(
            operator=self.operator,
            tenant=tenant,
            kind=options["type"],
            state=options["state"],
            workspace=options["workspace"],
            search=options["search"],
            sort=sort,
            reverse=reverse,
            limit=options["limit"],
        )
        self.output.print_table("rooms", COLUMNS, rooms)
