"""From what an operator types to the room or the workspace that is meant.

A room is named by its UUID or its alias, a workspace by its UUID or its slug, always in one
tenant: an id of another tenant's is not found, in the same words as one that never was.
"""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Q, QuerySet

from rooms.errors import RoomNotFound, WorkspaceNotFound
from rooms.models import Room, Workspace
from rooms.queries.visibility import visible_rooms, visible_workspaces
from scaiwave.auth.operators import Operator
from tenants.errors import AmbiguousName
from tenants.models import Tenant
from tenants.queries.resolve import is_storable_text, parse_uuid

Place = TypeVar("Place", Room, Workspace)


def resolve_room(operator: Operator, name: str, *, tenant: Tenant) -> Room:
    """The room with its workspace, creator and tenant. Raises `RoomNotFound` or `AmbiguousName`."""
    rooms = visible_rooms(operator).filter(tenant=tenant)
    found = _named(rooms.select_related("workspace", "creator", "tenant"), name, "room_alias")
    if not found:
        raise RoomNotFound(f"There is no room {name!r} in tenant {tenant.slug}.")
    return _only(found, name)


def resolve_workspace(operator: Operator, name: str, *, tenant: Tenant) -> Workspace:
    """The workspace with its tenant. Raises `WorkspaceNotFound` or `AmbiguousName`."""
    workspaces = visible_workspaces(operator).filter(tenant=tenant)
    found = _named(workspaces.select_related("tenant"), name, "slug")
    if not found:
        raise WorkspaceNotFound(f"There is no workspace {name!r} in tenant {tenant.slug}.")
    return _only(found, name)


def _named(places: QuerySet[Place], name: str, field: str) -> list[Place]:
    """Two at most, which is when the alias of one reads like the id of the other."""
    if not name or not is_storable_text(name):
        return []
    query = Q(**{field: name})
    if (key := parse_uuid(name)) is not None:
        query |= Q(pk=key)
    return list(places.filter(query).order_by("pk"))


def _only(found: list[Place], name: str) -> Place:
    if len(found) == 1:
        return found[0]
    candidates = [str(place.pk) for place in found]
    described = (f"{key} ({place})" for key, place in zip(candidates, found, strict=True))
    raise AmbiguousName(
        f"{name!r} may be any of these: {'; '.join(described)}.",
        fix="The alias or slug of one is the id of the other: use the other name of the one you "
        "mean.",
        candidates=candidates,
    )
