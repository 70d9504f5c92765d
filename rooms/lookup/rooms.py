"""List the rooms of a tenant, and show one in full. The keys are the same as in --json."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from django.db.models import BigIntegerField, Count, F, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Lower, NullIf

from rooms.lookup.export_metadata import export_blocker, get_media
from rooms.lookup.media import mark_missing
from rooms.lookup.resolve import resolve_room, resolve_workspace
from rooms.lookup.visibility import visible_rooms
from rooms.models import (
    Event,
    Media,
    Membership,
    RemovedFile,
    Room,
    RoomImport,
    RoomMedia,
    RoomMember,
    ScanStatus,
)
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page, one_more
from scaiwave.core.sql import batched, iter_objects
from tenants.lookup.resolve import contains_q, resolve_tenant
from tenants.lookup.serializers import Row, get_server_name, last_audit_entries
from tenants.lookup.sorting import SortKey, parse_sort, sort_rows
from tenants.lookup.visibility import erasing_tenants
from tenants.models import AuditEntry

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

BATCH_SIZE = 500


def _figure_or_zero(rows: QuerySet[Any, Any]) -> Coalesce:
    return Coalesce(Subquery(rows.values("figure")), 0, output_field=BigIntegerField())


# The figures of a room, counted through the index of each: a tenant's events are never read as a
# whole.
_JOINED = RoomMember.objects.filter(room=OuterRef("pk"), membership=Membership.JOIN)
_EVENTS = Event.objects.filter(room=OuterRef("pk"))
_ATTACHED = RoomMedia.objects.filter(room=OuterRef(OuterRef("pk"))).values("media")
_STORED = Media.objects.filter(pk__in=_ATTACHED).exclude(scan_status=ScanStatus.INFECTED)
MEMBERS = _figure_or_zero(_JOINED.values("room").annotate(figure=Count("*")))
EVENTS = _figure_or_zero(_EVENTS.values("room").annotate(figure=Count("*")))
MEDIA_BYTES = _figure_or_zero(_STORED.values("tenant").annotate(figure=Sum("size")))
LAST_EVENT = Subquery(_EVENTS.order_by("-stream_position").values("created_at")[:1])

# The columns of --sort. Empty texts are NULL, which comes last.
NAME = NullIf(Lower("name"), Value(""))
SORTABLE: Mapping[str, Combinable] = {
    "name": NAME,
    "alias": NullIf(Lower("room_alias"), Value("")),
    "type": F("room_type"),
    "state": F("state"),
    "workspace": Lower("workspace__slug"),
    "members": MEMBERS,
    "events": EVENTS,
    "media": MEDIA_BYTES,
    "last-event": LAST_EVENT,
    "created": F("created_at"),
}


class RoomStats(TypedDict):
    tenant_slug: str
    workspace_slug: str
    members_joined: int
    event_count: int
    media_bytes: int
    last_event_at: datetime | None


def list_rooms(
    *,
    operator: Operator,
    tenant: str | None = None,
    room_type: str | None = None,
    state: str | None = None,
    workspace: str | None = None,
    search: str | None = None,
    deleted: bool = False,
    sort: str = "name",
    reverse: bool = False,
    after: UUID | None = None,
    limit: int | None = None,
) -> Page:
    """Return rooms with their figures, of one tenant or of all that the operator may see.

    They continue after the room with the ID `after`. The database sorts, and counts only for shown
    rooms, one batch at a time. `search` is part of a name or alias, in any case. With `deleted`,
    only rooms that wait for their deletion. A minus before the sort column reverses the order, as
    does `reverse`; empty values come last either way.
    Raises `TenantNotFound`, `WorkspaceNotFound`, `AmbiguousName` or `UsageError`, at once.
    """
    operator.require(Permission.VIEW)
    column, is_descending = parse_sort(sort, SORTABLE, example="events")
    resolved = resolve_tenant(operator, tenant) if tenant is not None else None
    rooms = visible_rooms(operator, with_deleted=deleted).exclude(tenant__in=erasing_tenants())
    if resolved is not None:
        rooms = rooms.filter(tenant=resolved)
    if deleted:
        rooms = rooms.filter(deleted_at__isnull=False)
    if room_type is not None:
        rooms = rooms.filter(room_type=room_type)
    if state is not None:
        rooms = rooms.filter(state=state)
    if search:
        rooms = rooms.filter(contains_q(search, "name", "room_alias"))
    if workspace is not None:
        if resolved is None:
            raise UsageError("--workspace needs --tenant.", fix="Add --tenant <slug>.")
        rooms = rooms.filter(workspace=resolve_workspace(operator, workspace, tenant=resolved))
    keys = [SortKey(column, is_descending=is_descending != reverse)]
    if column is not NAME:
        keys.append(SortKey(NAME))
    ids = sort_rows(rooms, keys, after=after).values_list("pk", flat=True)[: one_more(limit)]
    return Page(_iter_rows(ids.iterator(chunk_size=BATCH_SIZE)), limit, count=rooms.count)


def _iter_rows(ids: Iterator[UUID]) -> Generator[Row, None, None]:
    for batch in batched(ids, BATCH_SIZE):
        shown = Room.all_objects.filter(pk__in=batch).defer("topic", "read_role_slugs")
        found = iter_objects(_annotate_stats(shown))
        rooms = {room.pk: room for room in found}
        for room_id in filter(rooms.__contains__, batch):
            yield _build_room_row(rooms[room_id])


def show_room(*, operator: Operator, name: str, tenant: str) -> Row:
    """Return one room with its members, media, origin and last audit entries.

    Looks up every file in the media store. Raises `TenantNotFound`, `RoomNotFound`,
    `AmbiguousName`, or `ExportDamaged` if the media store can't be read.
    """
    operator.require(Permission.VIEW)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant))
    server_name = get_server_name()
    audit = AuditEntry.objects.filter(tenant_id=str(room.tenant_id), subject_id=str(room.pk))
    return {
        **load_room_row(room),
        "topic": room.topic,
        "scope_kind": room.scope_kind,
        "visibility": room.visibility,
        "read_role_slugs": room.read_role_slugs,
        "creator": room.creator.fqid(server_name),
        "imported_from": _get_source(room),
        "memberships": _list_members(room, server_name),
        "media": list_room_media(room),
        "audit_entries": last_audit_entries(audit),
    }


def load_room_row(room: Room) -> Row:
    """Return the room as lists show it, from the database."""
    return _build_room_row(_annotate_stats(Room.all_objects.filter(pk=room.pk)).get())


def list_room_media(room: Room) -> list[Row]:
    """Return the attachments of a room by file name.

    `missing_reason` is why the bytes are missing, in the words of a bundle, or None. Looks up each
    file in the media store once. Raises `ExportDamaged` if the media store can't be read.
    """
    attachments = get_media(room)
    mark_missing(room.tenant_id, attachments, with_bytes=True)
    return [
        {
            "id": attachment.media_id,
            "name": attachment.name,
            "sha256": attachment.sha256,
            "size_bytes": attachment.size,
            "mime_type": attachment.mime_type,
            "scan_status": attachment.scan_status,
            "missing_reason": attachment.missing,
        }
        for attachment in sorted(attachments, key=lambda each: (each.name, each.sha256))
    ]


def list_media(
    *, operator: Operator, name: str, tenant: str, limit: int | None = None
) -> list[Row]:
    """Return the attachments of a room, and the files that were removed from it, by name.

    Raises `TenantNotFound`, `RoomNotFound`, `AmbiguousName` and `ExportDamaged`.
    """
    operator.require(Permission.VIEW)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant))
    nothing = dict.fromkeys(("reason", "removed_at", "purge_at"))
    rows = [{**row, **nothing} for row in list_room_media(room)]
    removed = RemovedFile.objects.filter(room=room).select_related("media")
    rows += map(build_removed_row, removed)
    return sorted(rows, key=lambda row: (row["name"], row["sha256"]))[:limit]


def build_removed_row(file: RemovedFile) -> Row:
    """`missing_reason` is "removed" until the bytes are gone, and then "deleted"."""
    media = file.media
    return {
        "id": file.media_id,
        "name": file.name,
        "sha256": file.sha256,
        "size_bytes": media and media.size,
        "mime_type": media and media.mime_type,
        "scan_status": media and media.scan_status,
        "missing_reason": "removed" if media else "deleted",
        "reason": file.reason,
        "removed_at": file.removed_at,
        "purge_at": file.purge_at,
    }


def _annotate_stats(rooms: QuerySet[Room]) -> QuerySet[WithAnnotations[Room, RoomStats]]:
    """Add figures and the workspace to each room, in one query."""
    return rooms.annotate(
        tenant_slug=F("tenant__slug"),
        workspace_slug=F("workspace__slug"),
        members_joined=MEMBERS,
        event_count=EVENTS,
        media_bytes=MEDIA_BYTES,
        last_event_at=LAST_EVENT,
    )


def _build_room_row(room: WithAnnotations[Room, RoomStats]) -> Row:
    """`media_bytes` counts equal files once per room, and infected ones never."""
    reason = export_blocker(room)
    return {
        "id": room.pk,
        "name": room.name,
        "alias": room.room_alias or None,
        "type": room.room_type,
        "state": room.state,
        "workspace": room.workspace_slug,
        "workspace_id": room.workspace_id,
        "members": room.members_joined,
        "events": room.event_count,
        "media_bytes": room.media_bytes,
        "last_event_at": room.last_event_at,
        "exportable": reason is None,
        "reason": reason,
        "is_public": room.is_public,
        "is_federated": room.is_federated,
        "tenant": room.tenant_slug,
        "tenant_id": room.tenant_id,
        "creator_id": room.creator_id,
        "created_at": room.created_at,
        "updated_at": room.updated_at,
        "deleted_at": room.deleted_at,
        "purge_at": room.purge_at,
    }


def _list_members(room: Room, server_name: str) -> list[Row]:
    """Return members of every membership, highest power level first."""
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


def _get_source(room: Room) -> Row | None:
    source = RoomImport.objects.filter(room=room).first()
    if source is None:
        return None
    return {
        "room_id": source.source_room_id,
        "server_name": source.source_server_name,
        "manifest_sha256": source.manifest_sha256,
        "operator": source.operator,
        "imported_at": source.created_at,
    }
