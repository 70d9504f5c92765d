"""Which rooms and workspaces an operator can see; all others are not found."""

from __future__ import annotations

from django.db.models import QuerySet

from rooms.models import Room, Workspace
from scaiwave.core.operators import Operator
from tenants.lookup.visibility import visible_tenants


def visible_rooms(operator: Operator, *, with_deleted: bool = False) -> QuerySet[Room]:
    rooms = Room.all_objects.all() if with_deleted else Room.objects.all()
    if operator.sees_everything:
        return rooms
    return rooms.filter(tenant__in=visible_tenants(operator))


def visible_workspaces(operator: Operator) -> QuerySet[Workspace]:
    if operator.sees_everything:
        return Workspace.objects.all()
    return Workspace.objects.filter(tenant__in=visible_tenants(operator))
