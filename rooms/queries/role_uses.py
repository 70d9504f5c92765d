from __future__ import annotations

from uuid import UUID

from rooms.models import Room


def rooms_using_role(tenant_id: UUID, slug: str) -> list[str]:
    """The rooms of a tenant that holders of this role may read, in words, by name.

    Compared here, since SQLite can't look into a JSON array by Django's lookups.
    """
    restricted = Room.objects.filter(tenant=tenant_id).exclude(read_role_slugs=[])
    named = restricted.order_by("name", "pk").values_list("name", "pk", "read_role_slugs")
    return [f"room {name or key}" for name, key, slugs in named.iterator() if slug in slugs]
