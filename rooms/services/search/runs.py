"""Begins a backfill of the search index, or takes up one that has not come to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from rooms.models import SearchBackfill, SearchRange
from rooms.queries.resolve import resolve_room
from rooms.search.documents import fetch
from rooms.search.scope import Scope
from scaiwave.auth.operators import Operator
from scaiwave.errors import UsageError
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.services.audit import record_audit

RANGE_EVENTS = 50_000
"""Events that one worker takes at a time: seconds of work, and a minute or two with vectors."""


@dataclass(frozen=True)
class BackfillOptions:
    """What an operator asks for. `restart` gives up where an unfinished run had come to, and
    also writes what is in the index already."""

    tenant: str | None = None
    room: str | None = None
    since: datetime | None = None
    restart: bool = False


class _Part(NamedTuple):
    """So many events of a tenant, at the positions `first` to `last`."""

    tenant_id: UUID
    first: int
    last: int
    events: int


def build_scope(operator: Operator, wish: BackfillOptions) -> Scope:
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


def get_or_create_run(operator: Operator, wish: BackfillOptions, now: datetime) -> SearchBackfill:
    """The unfinished run of this scope, else a new one."""
    scope = build_scope(operator, wish)
    unfinished = SearchBackfill.objects.filter(scope=scope.name, finished_at=None)
    if not wish.restart and (found := unfinished.first()):
        return found
    parts = list(_parts(scope))
    try:
        with transaction.atomic():
            if wish.restart:
                unfinished.delete()
            return _made(operator, scope, wish, parts, now)
    except IntegrityError:  # Somebody has begun the same at the same time.
        theirs = unfinished.first()
    if theirs and (theirs.rewrite or not wish.restart):
        return theirs
    return get_or_create_run(operator, wish, now)


def scope_of_run(run: SearchBackfill) -> Scope:
    return Scope(run.tenant_id, run.room_id, run.since)


def pending_ranges(run: SearchBackfill) -> QuerySet[SearchRange]:
    return run.ranges.filter(done_through__lt=F("last")).order_by("pk")


def _made(
    operator: Operator, scope: Scope, wish: BackfillOptions, parts: list[_Part], now: datetime
) -> SearchBackfill:
    run = SearchBackfill.objects.create(
        scope=scope.name,
        tenant_id=scope.tenant_id,
        room_id=scope.room_id,
        since=scope.since,
        rewrite=wish.restart,
        operator=operator.name,
        started_at=now,
    )
    SearchRange.objects.bulk_create([_range(run, part) for part in parts], batch_size=500)
    record_audit(
        operator=operator,
        action="backfill-search-index",
        subject=run,
        tenant=run.tenant,
        now=now,
        details={"restart": wish.restart, "ranges": len(parts)},
    )
    return run


def _range(run: SearchBackfill, part: _Part) -> SearchRange:
    return SearchRange(
        backfill=run,
        tenant_id=part.tenant_id,
        first=part.first,
        last=part.last,
        done_through=part.first - 1,
        events=part.events,
    )


def _parts(scope: Scope) -> Iterator[_Part]:
    """All events of the scope, of one tenant after the other."""
    tenants = Tenant.objects.order_by("slug").values_list("pk", flat=True)
    if scope.tenant_id is not None:
        tenants = tenants.filter(pk=scope.tenant_id)
    for tenant in tenants:
        after, count = 0, RANGE_EVENTS
        while count == RANGE_EVENTS:
            first, after, count = _next(replace(scope, tenant_id=tenant, since=None), after)
            if count:
                yield _Part(tenant, first, after, count)


def _next(scope: Scope, after: int) -> tuple[int, int, int]:
    """First and last position, and number, of the next events; the number may be 0."""
    where, values = scope.events()
    (found,) = fetch(
        f"""
        SELECT COALESCE(min(position), 0), COALESCE(max(position), 0), count(*) FROM (
            SELECT e.stream_position AS position FROM sw_events e
            WHERE {where} AND e.stream_position > %s ORDER BY e.stream_position LIMIT %s
        ) coming
        """,
        [*values, after, RANGE_EVENTS],
    )
    return found[0], found[1], found[2]
