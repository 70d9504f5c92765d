"""What lists of tenants say about rooms, each column in one query for all tenants."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import Aggregate, Count, Model, QuerySet, Sum

from rooms.models import Media, Room, RoomState, ScanStatus


def rooms_per_tenant(tenant_ids: Collection[UUID]) -> dict[UUID, int]:
    """Rooms that are not closed: an archived one can be opened again, so it still counts."""
    rooms = Room.objects.exclude(state=RoomState.CLOSED)
    return _per_tenant(rooms, tenant_ids, Count("id"))


def storage_per_tenant(tenant_ids: Collection[UUID]) -> dict[UUID, int]:
    """Bytes kept for each tenant. The same bytes count once per tenant, in however many rooms
    they are; those of infected files are deleted and count for nothing."""
    media = Media.objects.exclude(scan_status=ScanStatus.INFECTED)
    return _per_tenant(media, tenant_ids, Sum("size"))


def _per_tenant(
    rows: QuerySet[Any, Model], tenant_ids: Collection[UUID], value: Aggregate
) -> dict[UUID, int]:
    """The value for each tenant, 0 where it has no rows: that is known, not unknown."""
    found = rows.filter(tenant__in=tenant_ids).values_list("tenant_id").annotate(value=value)
    return {**dict.fromkeys(tenant_ids, 0), **{key: int(total) for key, total in found}}
