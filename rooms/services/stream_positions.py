"""Positions in a tenant's stream, handed out in blocks."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Max

from rooms.models import Event, StreamCounter


def lock_stream(tenant_id: UUID) -> StreamCounter:
    """The counter of a tenant, locked until the end of the transaction.

    It is also the lock under which imports decide whose files are whose. SQLite has one lock for
    everything, which a transaction has from its beginning.
    """
    StreamCounter.objects.bulk_create([StreamCounter(tenant_id=tenant_id)], ignore_conflicts=True)
    return StreamCounter.objects.select_for_update().get(tenant_id=tenant_id)


def reserve_positions(tenant_id: UUID, count: int) -> int:
    """Take the next so many positions; returns the first of them.

    Committed at once, so that nobody waits for an import to end. The platform hands out positions
    too, so what stands in events counts for more than the counter.
    """
    with transaction.atomic(durable=True):
        counter = lock_stream(tenant_id)
        events = Event.objects.filter(tenant_id=tenant_id)
        written = events.aggregate(last=Max("stream_position"))["last"] or 0
        first = max(counter.last_position, written) + 1
        counter.last_position = first - 1 + count
        counter.save(update_fields=["last_position"])
    return first
