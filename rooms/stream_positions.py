"""Reserve positions in a tenant's stream, in blocks."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Max

from rooms.models import Event, StreamCounter

END_POSITION = 2**62
"""Events have lower positions. A dry run writes events here before it takes them back."""


def lock_stream(tenant_id: UUID) -> StreamCounter:
    """Return the counter of a tenant, locked until the end of the transaction.

    Imports also hold this lock while they assign files to imports. SQLite has
    only one lock, which a transaction holds from its beginning.
    """
    StreamCounter.objects.bulk_create([StreamCounter(tenant_id=tenant_id)], ignore_conflicts=True)
    return StreamCounter.objects.select_for_update().get(tenant_id=tenant_id)


def reserve_positions(tenant_id: UUID, count: int) -> int:
    """Reserve a block of positions and return its first one.

    Commits at once, so that no other writer waits for an import to end. The platform assigns
    positions too, so the positions of existing events take precedence over the counter.
    """
    with transaction.atomic(durable=True):
        counter = lock_stream(tenant_id)
        events = Event.objects.filter(tenant_id=tenant_id)
        last_written = events.aggregate(last=Max("stream_position"))["last"] or 0
        first = max(counter.last_position, last_written) + 1
        counter.last_position = first - 1 + count
        counter.save(update_fields=["last_position"])
    return first
