"""One room, for people to read."""

from __future__ import annotations

from scaiwave.console.output import Column, ColumnType, format_bytes
from tenants.queries.serializers import Row

FACTS = (
    Column("name", "Name"),
    Column("id", "Id"),
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
MEMBERS = (
    Column("display_name", "Name"),
    Column("fqid", "FQID"),
    Column("type", "Type"),
    Column("status", "Status"),
    Column("membership", "Membership"),
    Column("power_level", "Power", ColumnType.COUNT),
    Column("joined_at", "Joined", ColumnType.TIME),
)
MEDIA = (
    Column("name", "File"),
    Column("mime_type", "Type"),
    Column("size", "Size", ColumnType.BYTES),
    Column("scan_status", "Scan"),
    Column("missing", "Missing"),
    Column("sha256", "SHA-256"),
)


def facts(room: Row) -> Row:
    return {
        **room,
        "attachments": _attachments(room),
        "export": "yes" if room["exportable"] else f"no, since {room['reason']}",
        "source": _source(room["imported_from"]),
    }


def _attachments(room: Row) -> str:
    names, missing = len(room["media"]), sum(row["missing"] is not None for row in room["media"])
    told = f"{names:,} of {format_bytes(room['media_bytes'])}" if names else "none"
    return f"{told}; {missing:,} missing" if missing else told


def _source(source: Row | None) -> str | None:
    if source is None:
        return None
    return f"room {source['room_id']} of {source['server_name'] or 'an unknown server'}"
