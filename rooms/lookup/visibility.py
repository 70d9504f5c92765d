"""Which rooms and workspaces an operator can see; all others are not found."""

from __future__ import annotations

from django.db.models import QuerySet

from rooms.models import Room, Workspace
from scaiwave.core.operators import Operator
from tenants.lookup.visibility import visible_tenants


def visible_rooms(operator: Operator) -> QuerySet[Room]:
    if operator.sees_everything:
        return Room.objects.all()
    return Room.objects.filter(tenant__in=visible_tenants(operator))


def visible_workspaces(operator: Operator) -> QuerySet[Workspace]:
    if operator.sees_everything:
        return Workspace.objects.all()
    return Workspace.objects.filter(tenant__in=visible_tenants(operator))
