"""What is said of a room, wherever it is listed or shown; the keys are those of --json."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from django.db.models import BigIntegerField, Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from rooms.models import Event, Media, Membership, Room, RoomMedia, RoomMember, ScanStatus
from rooms.queries.exportable import export_blocker
from tenants.queries.serializers import Row

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations


class RoomStats(TypedDict):
    members_joined: int
    event_count: int
    media_bytes: int
    last_event_at: datetime | None


def annotate_stats(rooms: QuerySet[Room]) -> QuerySet[WithAnnotations[Room, RoomStats]]:
    """Each room with its figures and its workspace, in one query.

    A tenant's events are never read as a whole: what is counted is the index of each room.
    """
    joined = RoomMember.objects.filter(room=OuterRef("pk"), membership=Membership.JOIN)
    events = Event.objects.filter(room=OuterRef("pk"))
    shown = RoomMedia.objects.filter(room=OuterRef(OuterRef("pk"))).values("media")
    kept = Media.objects.filter(pk__in=shown).exclude(scan_status=ScanStatus.INFECTED)
    newest = events.order_by("-stream_position").values("created_at")[:1]
    return rooms.select_related("workspace").annotate(
        members_joined=_figure(joined.values("room").annotate(figure=Count("*"))),
        event_count=_figure(events.values("room").annotate(figure=Count("*"))),
        media_bytes=_figure(kept.values("tenant").annotate(figure=Sum("size"))),
        last_event_at=Subquery(newest),
    )


def _figure(counted: QuerySet[Any, Any]) -> Coalesce:
    """0 where there is nothing to count."""
    return Coalesce(Subquery(counted.values("figure")), 0, output_field=BigIntegerField())


def room_row(room: WithAnnotations[Room, RoomStats]) -> Row:
    """`media_bytes` are those kept: the same bytes count once per room, infected ones never."""
    reason = export_blocker(room)
    return {
        "id": room.pk,
        "name": room.name,
        "alias": room.room_alias or None,
        "type": room.room_type,
        "state": room.state,
        "workspace": room.workspace.slug,
        "workspace_id": room.workspace_id,
        "members": room.members_joined,
        "events": room.event_count,
        "media_bytes": room.media_bytes,
        "last_event_at": room.last_event_at,
        "exportable": reason is None,
        "reason": reason,
        "is_public": room.is_public,
        "is_federated": room.is_federated,
        "tenant_id": room.tenant_id,
        "creator_id": room.creator_id,
        "created_at": room.created_at,
        "updated_at": room.updated_at,
    }
