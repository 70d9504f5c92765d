from __future__ import annotations

from rooms.models import Room, RoomImport, RoomMember
from rooms.queries.resolve import resolve_room
from rooms.queries.room_media import room_media
from rooms.queries.rows import annotate_stats, room_row
from scaiwave.auth.operators import Operator, Permission
from tenants.models import AuditEntry
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, get_server_name, last_audit_entries


def show_room(*, operator: Operator, name: str, tenant: str) -> Row:
    """One room: who is in it, what it shows, where it came from, and may it be exported.

    The media store is asked for every file. Raises `TenantNotFound`, `RoomNotFound` or
    `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant))
    server_name = get_server_name()
    audit = AuditEntry.objects.filter(tenant_id=str(room.tenant_id), subject_id=str(room.pk))
    return {
        **room_row(annotate_stats(Room.objects.filter(pk=room.pk)).get()),
        "tenant": room.tenant.slug,
        "topic": room.topic,
        "scope_kind": room.scope_kind,
        "visibility": room.visibility,
        "read_role_slugs": room.read_role_slugs,
        "creator": room.creator.fqid(server_name),
        "imported_from": _source(room),
        "memberships": _members(room, server_name),
        "media": room_media(room),
        "audit": last_audit_entries(audit),
    }


def _members(room: Room, server_name: str) -> list[Row]:
    """Whoever is or was in it or may come: the most powerful first."""
    members = RoomMember.objects.filter(room=room).select_related("participant")
    return [
        {
            "id": member.participant_id,
            "fqid": member.participant.fqid(server_name),
            "display_name": member.participant.display_name,
            "type": member.participant.participant_type,
            "status": member.participant.status,
            "membership": member.membership,
            "power_level": member.power_level,
            "joined_at": member.joined_at,
            "notification_mode": member.notification_mode,
        }
        for member in members.order_by("-power_level", "participant__display_name", "pk")
    ]


def _source(room: Room) -> Row | None:
    source = RoomImport.objects.filter(room=room).first()
    if source is None:
        return None
    return {
        "room_id": source.source_room_id,
        "server_name": source.source_server_name,
        "manifest_sha256": source.manifest_sha256,
        "operator": source.operator,
        "at": source.created_at,
    }
