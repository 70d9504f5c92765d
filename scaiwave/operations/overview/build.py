"""Build the start page of the admin site from its parts."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet, Sum
from django.urls import reverse

from federation.keys.queries import (
    count_days_until,
    find_signing_key,
    get_rotation_due_at,
    is_rotation_near,
    load_keys,
)
from rooms.models import Media, Room, RoomState, ScanStatus
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.doctor.rooms import judge_backlog
from scaiwave.operations.overview.sync import build_limited_sync_part, build_sync_part
from scaiwave.operations.overview.tenants import build_limited_part, build_tenant_part
from scaiwave.site.formatting import Tone
from scaiwave.site.overview import Card, OverviewPart, Stored, Task, join_parts
from tenants.lookup.visibility import visible_tenants

ROTATE, GENERATE = "scaiwave admin federation key rotate", "scaiwave admin federation key generate"


def build_key_part(now: datetime) -> OverviewPart:
    key = find_signing_key(load_keys(), now)
    url, permission = reverse("admin:federation_serverkey_changelist"), "federation.view_serverkey"
    if key is None:
        slug = "admin-federation-key-generate"
        task = Task(
            "This server has no signing key, so that no other server can verify it.",
            permission,
            button="Create a signing key",
            url=reverse("admin:act", args=[slug]),
            act=slug,
            command=GENERATE,
        )
        return OverviewPart([task], [Card("Signing key", "none", url, permission, Tone.WARN)])
    due_at = get_rotation_due_at(key)
    is_near, is_overdue = is_rotation_near(key, now), now >= due_at
    left = pluralize(max(abs(count_days_until(due_at, now)), 1), "day")
    tone = Tone.BAD if is_overdue else Tone.WARN if is_near else Tone.GOOD
    value = f"overdue by {left}" if is_overdue else f"{left} left"
    slug = "admin-federation-key-rotate"
    task = Task(
        f"The rotation of the signing key is {f'overdue by {left}' if is_overdue else 'near'}.",
        permission,
        tone,
        details=[f"It {'was' if is_overdue else 'is'} due on {due_at:%Y-%m-%d}."],
        button="Rotate the key",
        url=reverse("admin:act", args=[slug, key.pk]),
        act=slug,
        command=ROTATE,
    )
    card = Card("Signing key", value, url, permission, tone)
    return OverviewPart([task] if is_near or is_overdue else [], [card])


def build_room_part(now: datetime) -> OverviewPart:
    volumes = [_build_room_card(Room.objects.all()), _build_storage_card(Media.objects.all())]
    backlog, is_late = judge_backlog(now)
    url, permission = reverse("admin:rooms_searchbackfill_changelist"), "rooms.view_searchbackfill"
    tasks = [Task(f"{backlog}.", permission, command=backlog.command)] if is_late else []
    least = "at least " if backlog.is_minimum else ""
    value = f"{least}{pluralize(backlog.messages, 'message')} to index" if backlog else "up to date"
    tone = Tone.WARN if is_late else Tone.NEUTRAL if backlog else Tone.GOOD
    return OverviewPart(tasks, [Card("Search", value, url, permission, tone)], volumes)


def build_limited_room_part(operator: Operator, now: datetime) -> OverviewPart:
    """Return what an operator sees who is limited to some tenants: figures of these alone."""
    operator.require(Permission.VIEW)
    tenants = visible_tenants(operator)
    return OverviewPart(
        volumes=[
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
    )


def _build_storage_card(media: QuerySet[Media]) -> Card:
    stored = media.exclude(scan_status=ScanStatus.INFECTED)
    size = stored.aggregate(size=Sum("size"))["size"] or 0
    return Card(
        title="Storage",
        value=format_bytes(size),
        url=reverse("admin:rooms_media_changelist"),
        permission="rooms.view_media",
    )


PARTS = (build_sync_part, build_tenant_part, build_room_part, build_key_part)
"""In the order of the page."""
LIMITED_PARTS = (build_limited_sync_part, build_limited_part, build_limited_room_part)
"""For operators who see only some tenants: the usual parts are about all."""


def build_overview(now: datetime, operator: Operator | None = None) -> Stored:
    """Return all parts as a JSON document with the fields of `OverviewPart`, and `built_at`.

    `operator` is someone who sees only some tenants. What they get depends on their role and its
    partner or tenant alone.
    """
    if operator is not None:
        parts = [build(operator, now) for build in LIMITED_PARTS]
    else:
        parts = [build(now) for build in PARTS]
    return {**join_parts(parts), "built_at": now.isoformat()}
