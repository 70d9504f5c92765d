"""Figures about tenants and uses of a role, which `tenants` shows through the extensions."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F, QuerySet

from rooms.models import Media, Room, RoomState, ScanStatus
from tenants.models import Tenant


def get_counted_rooms() -> QuerySet[Room]:
    """Return the rooms that are not closed; an archived room can be reopened, so it counts."""
    return Room.objects.exclude(state=RoomState.CLOSED)


def get_stored_media() -> QuerySet[Media]:
    """Return the files whose bytes count.

    Equal files count once per tenant, in however many rooms they are. The bytes of infected files
    are deleted and count for nothing.
    """
    return Media.objects.exclude(scan_status=ScanStatus.INFECTED)


def importing_tenants() -> QuerySet[Tenant]:
    """Return the tenants that an import has suspended, and not an operator before or since."""
    return Tenant.objects.filter(
        imported_from__finished_at=None, suspended_by_hand_at=F("imported_from__started_at")
    )


def rooms_using_role(tenant_id: UUID, slug: str) -> list[str]:
    """Describe the rooms of a tenant that holders of this role may read, by name.

    Compares in Python, since Django's lookups can't search a JSON array on SQLite.
    """
    restricted = Room.objects.filter(tenant=tenant_id).exclude(read_role_slugs=[])
    rooms = restricted.order_by("name", "pk").values_list("name", "pk", "read_role_slugs")
    return [f"room {name or key}" for name, key, slugs in rooms.iterator() if slug in slugs]
