from __future__ import annotations

from collections.abc import Sequence

from rooms.lookup.rooms import SORTABLE, list_rooms
from rooms.models import RoomState, RoomType
from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part

COLUMNS = (
    Column("id", "ID", part=Part.KEY),
    Column("name", "Name", part=Part.NAME, sort="name"),
    Column("alias", "Alias", part=Part.EXTRA, sort="alias"),
    Column("type", "Type", sort="type"),
    Column("state", "State", part=Part.STATUS, sort="state"),
    Column("workspace", "Workspace", part=Part.EXTRA, sort="workspace"),
    Column("members", "Members", ColumnType.COUNT, part=Part.EXTRA, sort="members"),
    Column("events", "Events", ColumnType.COUNT, sort="events"),
    Column("media_bytes", "Media", ColumnType.BYTES, part=Part.EXTRA, sort="media"),
    Column("last_event_at", "Last event", ColumnType.TIME, part=Part.EXTRA, sort="last-event"),
    Column("exportable", "Exportable", ColumnType.FLAG, part=Part.EXTRA),
)
PURGE_AT = Column("purge_at", "Deleted on", ColumnType.TIME, part=Part.STATUS)


KEYS = (
    *("id", "name", "alias", "type", "state", "workspace", "workspace_id", "members", "events"),
    *("media_bytes", "last_event_at", "exportable", "reason", "is_public", "is_federated"),
    *("tenant", "tenant_id", "creator_id", "created_at", "updated_at", "deleted_at", "purge_at"),
)


class ListRoomsArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    room_type: str | None = option(
        "only this type (default all)", "--type", choices=RoomType.values
    )
    state: str | None = option("only this state (default all)", choices=RoomState.values)
    workspace: str | None = option("only rooms of this workspace (slug or ID); needs --tenant")
    deleted: bool = option("only rooms that wait for their deletion")
    search: str | None = option("only rooms with TEXT in their name or alias", metavar="TEXT")


class Command(ListCommand[ListRoomsArguments]):
    words = "room list"
    summary = "List rooms of a tenant, or of all"
    area, place = "rooms", 20
    permission = "VIEW"
    examples = (
        "scaiwave room list --tenant acme",
        "scaiwave room list --sort=-media --limit 10",
        "scaiwave room list --tenant acme --workspace sales --search launch --json",
    )
    service = staticmethod(list_rooms)
    plural = "rooms"
    columns = COLUMNS
    keys = KEYS
    paged = True
    across = True
    sortable = SORTABLE
    default_sort = "name"
    help = (
        "List the rooms of a tenant, or of all tenants you may see. Members are participants who "
        "have joined."
    )

    def get_columns(self, given: ListRoomsArguments) -> Sequence[Column]:
        columns = super().get_columns(given)
        return (*columns, PURGE_AT) if given.deleted else columns
