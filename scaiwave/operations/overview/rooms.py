"""What the start page of the admin site shows of rooms, storage and search."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.urls import reverse

from rooms.models import Media, Room, RoomState, ScanStatus
from scaiwave.console.output import format_bytes
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.doctor.rooms import MAX_COUNTED_MESSAGES, count_unindexed_messages
from scaiwave.site.formatting import Tone
from scaiwave.site.overview import Card, OverviewPart
from tenants.lookup.visibility import visible_tenants

INDEX = "scaiwave room search-index"


def build_room_part(now: datetime) -> OverviewPart:
    return OverviewPart(
        cards=[
            _build_room_card(Room.objects.all()),
            _build_storage_card(Media.objects.all()),
            _build_search_card(),
        ]
    )


def build_limited_part(operator: Operator, now: datetime) -> OverviewPart:
    """Return what an operator sees who is limited to some tenants: figures of these alone."""
    operator.require(Permission.VIEW)
    tenants = visible_tenants(operator)
    return OverviewPart(
        cards=[
            _build_room_card(Room.objects.filter(tenant__in=tenants)),
            _build_storage_card(Media.objects.filter(tenant__in=tenants)),
        ]
    )


def _build_room_card(rooms: QuerySet[Room]) -> Card:
    """Count the rooms that are not closed, as lists of tenants do."""
    return Card(
        title="Rooms",
        value=f"{rooms.exclude(state=RoomState.CLOSED).count():,}",
        url=f"{reverse('admin:rooms_room_changelist')}?state=not_closed",
        permission="rooms.view_room",
        details=["Open and archived rooms."],
    )


def _build_storage_card(media: QuerySet[Media]) -> Card:
    stored = media.exclude(scan_status=ScanStatus.INFECTED)
    size = stored.aggregate(size=Sum("size"))["size"] or 0
    return Card(
        title="Storage",
        value=format_bytes(size),
        url=reverse("admin:rooms_media_changelist"),
        permission="rooms.view_media",
        details=["Files in several rooms of a tenant count once, infected ones never."],
    )


def _build_search_card() -> Card:
    backlog = count_unindexed_messages()
    more = "over " if backlog is not None and backlog >= MAX_COUNTED_MESSAGES else ""
    if backlog is None:
        details = ["The search index has never been filled, so searches find no messages."]
    else:
        details = ["Messages sent since the search index was last updated."] if backlog else []
    command = INDEX if settings.REDIS_URL else f"{INDEX} --inline"
    return Card(
        title="Messages to index",
        value="not indexed yet" if backlog is None else f"{more}{backlog:,}",
        url=reverse("admin:rooms_searchbackfill_changelist"),
        permission="rooms.view_searchbackfill",
        tone=Tone.WARN if backlog is None else Tone.GOOD if backlog == 0 else Tone.NEUTRAL,
        details=details,
        command=command if backlog is None else "",
    )
