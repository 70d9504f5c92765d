"""Figures of tenants as SQL expressions. The admin site sorts and filters by them."""

from __future__ import annotations

from datetime import datetime

from django.db.models import OuterRef, Subquery

from rooms.lookup.tenant_stats import get_counted_rooms, get_stored_media
from rooms.models import Event
from tenants.people.queries.figures import TenantFigure, TenantTotal

ROOMS = TenantTotal(get_counted_rooms)
STORAGE = TenantTotal(get_stored_media, "size")


def build_last_activity(now: datetime) -> Subquery:
    """Return the expression for the time of the newest event, which is NULL without one."""
    events = Event.objects.filter(tenant=OuterRef("pk")).order_by("-stream_position")
    return Subquery(events.values("created_at")[:1])


LAST_ACTIVITY = TenantFigure(build_last_activity, Event)
