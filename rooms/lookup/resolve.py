"""Find the room or workspace that an operator names.

A room is named by its UUID or alias, a workspace by its UUID or slug, always within one tenant. An
id of another tenant is not found, with the same message as an id that never existed.
"""

from __future__ import annotations

from shlex import quote
from typing import TypeVar

from django.db.models import Q, QuerySet

from rooms.errors import RoomNotFound, WorkspaceNotFound
from rooms.lookup.visibility import visible_rooms, visible_workspaces
from rooms.models import Room, Workspace
from scaiwave.core.operators import Operator, Permission
from tenants.errors import AmbiguousName
from tenants.lookup.nearest import find_nearest, suggest_nearest
from tenants.lookup.resolve import is_storable_text, parse_uuid
from tenants.models import Tenant

_MAX_IDS = 3
RoomOrWorkspace = TypeVar("RoomOrWorkspace", Room, Workspace)


def resolve_room(
    operator: Operator, name: str, *, tenant: Tenant, with_deleted: bool = False
) -> Room:
    """Return the room with its workspace, creator and tenant.

    `with_deleted` also finds rooms that wait for their deletion. Raises `RoomNotFound` or
    `AmbiguousName`.
    """
    rooms = visible_rooms(operator, with_deleted=with_deleted).filter(tenant=tenant)
    found = rooms.select_related("workspace", "creator", "tenant")
    if matches := _find_matches(found, name, "room_alias"):
        return _require_single(matches, name)
    fix = suggest_nearest(
        find_nearest(operator, name, rooms.exclude(room_alias=""), "room_alias"),
        f"`scaiwave room list --tenant {quote(tenant.slug)}` lists all.",
        RoomNotFound.FIX.format(tenant.slug),
    )
    # Callers of the HTTP API don't learn IDs.
    if name and is_storable_text(name) and operator.has_permission(Permission.VIEW):
        same_name = rooms.filter(name__iexact=name).order_by("pk")[:_MAX_IDS]
        if ids := " or ".join(str(room.pk) for room in same_name):
            fix = f"Rooms are named by ID or alias. The ID of {name} is {ids}."
    raise RoomNotFound(f"Room not found in tenant {tenant.slug}: {name}.", fix=fix)


def resolve_workspace(operator: Operator, name: str, *, tenant: Tenant) -> Workspace:
    """Return the workspace with its tenant. Raises `WorkspaceNotFound` or `AmbiguousName`."""
    workspaces = visible_workspaces(operator).filter(tenant=tenant)
    if matches := _find_matches(workspaces.select_related("tenant"), name, "slug"):
        return _require_single(matches, name)
    fix = suggest_nearest(
        find_nearest(operator, name, workspaces, "slug"),
        f"`scaiwave room workspaces --tenant {quote(tenant.slug)}` lists all.",
        WorkspaceNotFound.FIX.format(tenant.slug),
    )
    raise WorkspaceNotFound(f"Workspace not found in tenant {tenant.slug}: {name}.", fix=fix)


def _find_matches(
    candidates: QuerySet[RoomOrWorkspace], name: str, field: str
) -> list[RoomOrWorkspace]:
    """Return two at most: the alias of one may be the id of another."""
    if not name or not is_storable_text(name):
        return []
    condition = Q(**{field: name})
    if (key := parse_uuid(name)) is not None:
        condition |= Q(pk=key)
    return list(candidates.filter(condition).order_by("pk"))


def _require_single(matches: list[RoomOrWorkspace], name: str) -> RoomOrWorkspace:
    if len(matches) == 1:
        return matches[0]
    candidates = [str(match.pk) for match in matches]
    listed = "; ".join(f"{key} ({match})" for key, match in zip(candidates, matches, strict=True))
    raise AmbiguousName(
        f"{name} is ambiguous: {listed}.",
        fix="The alias or slug of one is the ID of the other. Use the other name of the one you "
        "mean.",
        candidates=candidates,
    )
