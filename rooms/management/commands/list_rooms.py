from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any

from rooms.lookup.rooms import SORTABLE, list_rooms
from rooms.models import RoomState, RoomType
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Row

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
PURGE_AT = Column("purge_at", "Deleted on", ColumnType.TIME)


KEYS = (
    *("id", "name", "alias", "type", "state", "workspace", "workspace_id", "members", "events"),
    *("media_bytes", "last_event_at", "exportable", "reason", "is_public", "is_federated"),
    *("tenant_id", "creator_id", "created_at", "updated_at", "deleted_at", "purge_at"),
)


class Command(ListCommand):
    words = "room list"
    summary = "List rooms of a tenant"
    area, place = "rooms", 20
    permission = "VIEW"
    examples = (
        "scaiwave room list --tenant acme",
        "scaiwave room list --tenant acme --sort=-events --limit 10",
        "scaiwave room list --tenant acme --workspace sales --search launch --json",
    )
    plural = "rooms"
    columns = COLUMNS
    keys = KEYS
    paged = True
    help = "List the rooms of a tenant. Members are participants who have joined."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--type", choices=RoomType.values, help="only this type (default all)")
        add("--state", choices=RoomState.values, help="only this state (default all)")
        add("--workspace", help="only rooms of this workspace (slug or ID)")
        add("--deleted", action="store_true", help="only rooms that wait for their deletion")
        add("--search", metavar="TEXT", help="only rooms with TEXT in their name or alias")
        add(
            "--sort",
            default="name",
            metavar="COLUMN",
            help=f"sort column: {', '.join(SORTABLE)} (default name); "
            "a leading minus reverses the order: --sort=-events",
        )
        add("--reverse", action="store_true", help="reverse the sort order")

    def get_columns(self, **options: Any) -> Sequence[Column]:
        return (*COLUMNS, PURGE_AT) if options["deleted"] else COLUMNS

    def load_rows(
        self, tenant: str, sort: str, reverse: bool, limit: int | None, **options: Any
    ) -> Iterable[Row]:
        return list_rooms(
            operator=self.operator,
            tenant=tenant,
            room_type=options["type"],
            state=options["state"],
            workspace=options["workspace"],
            search=options["search"],
            deleted=options["deleted"],
            sort=sort,
            reverse=reverse,
            after=options["after"],
            limit=limit,
        )
