from __future__ import annotations

from rooms.lookup.rooms import show_room
from scaiwave.cli.arguments import ROOM, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of
from scaiwave.console.output import format_bytes
from tenants.management.output import AUDIT_COLUMNS, print_sections

ROOM_COLUMNS = (
    *columns_of("name", "id", "alias", "topic", "type", "state", "tenant", "workspace", "creator"),
    Column("is_public", "Public", ColumnType.FLAG),
    Column("is_federated", "Federated", ColumnType.FLAG),
    Column("visibility", "Visibility"),
    Column("read_role_slugs", "Read by roles"),
    *columns_of("members", "events", kind=ColumnType.COUNT),
    Column("last_event_at", "Last event", ColumnType.TIME),
    Column("attachments", "Media"),
    Column("export", "Exportable"),
    Column("source", "Imported from"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
MEMBER_COLUMNS = (
    Column("display_name", "Name"),
    *columns_of("fqid", "type", "status", "membership"),
    Column("power_level", "Power", ColumnType.COUNT),
    Column("joined_at", "Joined", ColumnType.TIME),
)
MEDIA_COLUMNS = (
    Column("name", "File"),
    Column("mime_type", "Type"),
    Column("size_bytes", "Size", ColumnType.BYTES),
    Column("scan_status", "Scan"),
    Column("missing_reason", "Missing"),
    Column("sha256", "SHA-256"),
)


class ShowRoomArguments(Arguments):
    room: str = argument(ROOM)
    tenant: str = option(TENANT, required=True)


class Command(OperatorCommand[ShowRoomArguments]):
    words = "room show"
    summary = "Show a room, its members and media"
    area, place = "rooms", 30
    permission = "VIEW"
    examples = ("scaiwave room show launch-party --tenant acme",)
    help = (
        "Show one room: its members, its media and missing files, whether it can be exported, and "
        "where it was imported from."
    )

    def run(self, given: ShowRoomArguments) -> None:
        row = show_room(operator=self.operator, name=given.room, tenant=given.tenant)
        if self.output.as_json:
            self.output.print_json({"room": row})
            return
        media, source = row["media"], row["imported_from"]
        attachments = f"{len(media):,} ({format_bytes(row['media_bytes'])})" if media else "none"
        if missing := sum(file["missing_reason"] is not None for file in media):
            attachments += f"; {missing:,} missing"
        record = {
            **row,
            "attachments": attachments,
            "export": "yes" if row["exportable"] else f"no: {row['reason']}",
            "source": source
            and f"room {source['room_id']} of {source['server_name'] or 'an unknown server'}",
        }
        self.output.print_record(ROOM_COLUMNS, record)
        print_sections(
            self.output,
            ("Members", MEMBER_COLUMNS, row["memberships"]),
            ("Media", MEDIA_COLUMNS, row["media"]),
            ("Recent changes", AUDIT_COLUMNS, row["audit_entries"]),
        )
