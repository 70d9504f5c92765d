"""Figures of tenants as SQL expressions, by which the admin site sorts and filters."""

from __future__ import annotations

from django.db.models import BigIntegerField, OuterRef, Subquery, Sum
from django.db.models.functions import Cast, Coalesce

from rooms.models import Event
from rooms.queries.tenant_stats import get_counted_rooms, get_stored_media
from tenants.queries.figures import count_of_tenant


def build_room_count() -> Coalesce:
    return count_of_tenant(get_counted_rooms())


def build_storage() -> Coalesce:
    sizes = get_stored_media().filter(tenant=OuterRef("pk")).order_by().values("tenant")
    total = Subquery(sizes.annotate(figure=Cast(Sum("size"), BigIntegerField())).values("figure"))
    return Coalesce(total, 0, output_field=BigIntegerField())


def build_last_activity() -> Subquery:
    """Return the expression for the time of the newest event, which is NULL without one."""
    events = Event.objects.filter(tenant=OuterRef("pk")).order_by("-stream_position")
    return Subquery(events.values("created_at")[:1])
