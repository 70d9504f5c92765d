"""Begins a backfill of the search index, or takes up one that has not come to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from rooms.models import Event, SearchBackfill, SearchRange
from rooms.queries.resolve import resolve_room
from rooms.search.scope import Scope
from scaiwave.errors import UsageError
from scaiwave.operators import Operator
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.services.audit import record

RANGE_EVENTS = 50_000
"""Events that one worker takes at a time: seconds of work, and a minute or two with vectors."""


@dataclass(frozen=True)
class Wish:
    """What an operator asks for. `restart` gives up where an unfinished run had come to, and
    also writes what is in the index already."""

    tenant: str | None = None
    room: str | None = None
    since: datetime | None = None
    restart: bool = False


def scope_of(operator: Operator, wish: Wish) -> Scope:
    """Raises `UsageError`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`."""
    if wish.tenant is None:
        if wish.room is not None:
            raise UsageError(
                "A room is looked for in a tenant.", fix="Pass --tenant <slug> with --room."
            )
        return Scope(since=wish.since)
    tenant = resolve_tenant(operator, wish.tenant)
    room = resolve_room(operator, wish.room, tenant=tenant).pk if wish.room is not None else None
    return Scope(tenant.pk, room, wish.since)


def begun_run(operator: Operator, wish: Wish, now: datetime) -> SearchBackfill:
    """The unfinished run of this scope, else a new one."""
    scope = scope_of(operator, wish)
    unfinished = SearchBackfill.objects.filter(scope=scope.name, finished_at=None)
    if not wish.restart and (found := unfinished.first()):
        return found
    try:
        with transaction.atomic():
            if wish.restart:
                unfinished.delete()
            return _made(operator, scope, wish, now)
    except IntegrityError:  # Somebody has begun the same at the same time.
        return unfinished.get()


def run_scope(run: SearchBackfill) -> Scope:
    return Scope(run.tenant_id, run.room_id, run.since)


def open_ranges(run: SearchBackfill) -> QuerySet[SearchRange]:
    return run.ranges.filter(done_through__lt=F("last")).order_by("pk")


def _made(operator: Operator, scope: Scope, wish: Wish, now: datetime) -> SearchBackfill:
    run = SearchBackfill.objects.create(
        scope=scope.name,
        tenant_id=scope.tenant_id,
        room_id=scope.room_id,
        since=scope.since,
        rewrite=wish.restart,
        operator=operator.name,
        started_at=now,
    )
    tenants = Tenant.objects.order_by("slug")
    if scope.tenant_id is not None:
        tenants = tenants.filter(pk=scope.tenant_id)
    for tenant in tenants.values_list("pk", flat=True):
        SearchRange.objects.bulk_create(_ranges(run, tenant), batch_size=500)
    record(
        operator=operator,
        action="backfill-search-index",
        subject=run,
        tenant=run.tenant,
        now=now,
        details={"restart": wish.restart, "ranges": run.ranges.count()},
    )
    return run


def _ranges(run: SearchBackfill, tenant: UUID) -> Iterator[SearchRange]:
    after = 0
    while block := next_block(tenant, run.room_id, after=after, most=RANGE_EVENTS):
        first, last, count = block
        yield SearchRange(
            backfill=run,
            tenant_id=tenant,
            first=first,
            last=last,
            done_through=first - 1,
            events=count,
        )
        after = last


def next_block(
    tenant: UUID, room: UUID | None, *, after: int, most: int
) -> tuple[int, int, int] | None:
    """First and last position, and number, of the next events of a stream; None at its end."""
    events = Event.objects.filter(tenant=tenant, stream_position__gt=after)
    if room is not None:
        events = events.filter(room=room)
    positions = events.order_by("stream_position").values_list("stream_position", flat=True)
    if (first := positions.first()) is None:
        return None
    if (beyond := positions[most - 1 : most].first()) is not None:
        return first, beyond, most
    rest = list(positions[: most - 1])
    return first, rest[-1], len(rest)
