from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.lookup.rooms import show_room
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import format_bytes
from tenants.lookup.serializers import Row
from tenants.management.output import AUDIT_COLUMNS, print_sections

ROOM_COLUMNS = (
    Column("name", "Name"),
    Column("id", "ID"),
    Column("alias", "Alias"),
    Column("topic", "Topic"),
    Column("type", "Type"),
    Column("state", "State"),
    Column("tenant", "Tenant"),
    Column("workspace", "Workspace"),
    Column("creator", "Creator"),
    Column("is_public", "Public", ColumnType.FLAG),
    Column("is_federated", "Federated", ColumnType.FLAG),
    Column("visibility", "Visibility"),
    Column("read_role_slugs", "Read by roles"),
    Column("members", "Members", ColumnType.COUNT),
    Column("events", "Events", ColumnType.COUNT),
    Column("last_event_at", "Last event", ColumnType.TIME),
    Column("attachments", "Media"),
    Column("export", "Exportable"),
    Column("source", "Imported from"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
MEMBER_COLUMNS = (
    Column("display_name", "Name"),
    Column("fqid", "FQID"),
    Column("type", "Type"),
    Column("status", "Status"),
    Column("membership", "Membership"),
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


class Command(OperatorCommand):
    help = (
        "Show one room: its members, its media and missing files, whether it can be exported, and "
        "where it was imported from."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("room", help="room (ID or alias)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")

    def handle(self, room: str, tenant: str, **options: Any) -> None:
        row = show_room(operator=self.operator, name=room, tenant=tenant)
        if self.output.as_json:
            self.output.print_json({"room": row})
            return
        self.output.print_record(ROOM_COLUMNS, _format_room(row))
        print_sections(
            self.output,
            ("Members", MEMBER_COLUMNS, row["memberships"]),
            ("Media", MEDIA_COLUMNS, row["media"]),
            ("Recent changes", AUDIT_COLUMNS, row["audit_entries"]),
        )


def _format_room(room: Row) -> Row:
    return {
        **room,
        "attachments": _format_attachments(room),
        "export": "yes" if room["exportable"] else f"no: {room['reason']}",
        "source": _format_source(room["imported_from"]),
    }


def _format_attachments(room: Row) -> str:
    count, missing = (
        len(room["media"]),
        sum(row["missing_reason"] is not None for row in room["media"]),
    )
    text = f"{count:,} ({format_bytes(room['media_bytes'])})" if count else "none"
    return f"{text}; {missing:,} missing" if missing else text


def _format_source(source: Row | None) -> str | None:
    if source is None:
        return None
    return f"room {source['room_id']} of {source['server_name'] or 'an unknown server'}"
