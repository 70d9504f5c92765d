"""Plan a backfill of the search index, or find the unfinished run to resume."""

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
from rooms.search.scope import Scope
from scaiwave.auth.operators import Operator
from scaiwave.errors import UsageError
from scaiwave.sql import fetch
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.services.audit import record_audit

RANGE_EVENTS = 50_000
"""Events per range: seconds of work, or a minute or two with vectors."""


@dataclass(frozen=True)
class BackfillOptions:
    """What an operator asks for.

    `restart` discards the progress of an unfinished run and also writes documents that are up to
    date.
    """

    tenant: str | None = None
    room: str | None = None
    since: datetime | None = None
    restart: bool = False


class _PlannedRange(NamedTuple):
    """So many events of a tenant, at positions `first` to `last`."""

    tenant_id: UUID
    first: int
    last: int
    events: int


def build_scope(operator: Operator, options: BackfillOptions) -> Scope:
    """Raises `UsageError`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`."""
    if options.tenant is None:
        if options.room is not None:
            raise UsageError("--room needs --tenant.", fix="Add --tenant <slug>.")
        return Scope(since=options.since)
    tenant = resolve_tenant(operator, options.tenant)
    if options.room is None:
        return Scope(tenant.pk, None, options.since)
    return Scope(tenant.pk, resolve_room(operator, options.room, tenant=tenant).pk, options.since)


def get_or_create_run(
    operator: Operator, options: BackfillOptions, now: datetime
) -> SearchBackfill:
    """Return the unfinished run of this scope, else a new one."""
    scope = build_scope(operator, options)
    unfinished = SearchBackfill.objects.filter(scope=scope.name, finished_at=None)
    if not options.restart and (run := unfinished.first()):
        return run
    ranges = list(_plan_ranges(scope))
    try:
        with transaction.atomic():
            if options.restart:
                unfinished.delete()
            return _create_run(operator, scope, options, ranges, now)
    except IntegrityError:  # another process has just created a run of this scope
        run = unfinished.first()
    if run and (run.rewrite or not options.restart):
        return run
    return get_or_create_run(operator, options, now)


def scope_of_run(run: SearchBackfill) -> Scope:
    return Scope(run.tenant_id, run.room_id, run.since)


def pending_ranges(run: SearchBackfill) -> QuerySet[SearchRange]:
    return run.ranges.filter(done_through__lt=F("last")).order_by("pk")


def _create_run(
    operator: Operator,
    scope: Scope,
    options: BackfillOptions,
    ranges: list[_PlannedRange],
    now: datetime,
) -> SearchBackfill:
    run = SearchBackfill.objects.create(
        scope=scope.name,
        tenant_id=scope.tenant_id,
        room_id=scope.room_id,
        since=scope.since,
        rewrite=options.restart,
        operator=operator.name,
        started_at=now,
    )
    SearchRange.objects.bulk_create(
        (
            SearchRange(
                backfill=run,
                tenant_id=planned.tenant_id,
                first=planned.first,
                last=planned.last,
                done_through=planned.first - 1,
                events=planned.events,
            )
            for planned in ranges
        ),
        batch_size=500,
    )
    record_audit(
        operator=operator,
        action="backfill-search-index",
        subject=run,
        tenant=run.tenant,
        now=now,
        details={"restart": options.restart, "ranges": len(ranges)},
    )
    return run


def _plan_ranges(scope: Scope) -> Iterator[_PlannedRange]:
    """Yield ranges over all events of the scope, tenant by tenant."""
    tenants = Tenant.objects.order_by("slug").values_list("pk", flat=True)
    if scope.tenant_id is not None:
        tenants = tenants.filter(pk=scope.tenant_id)
    for tenant_id in tenants:
        after, count = 0, RANGE_EVENTS
        while count == RANGE_EVENTS:
            tenant_scope = replace(scope, tenant_id=tenant_id, since=None)
            first, after, count = _measure_range(tenant_scope, after)
            if count:
                yield _PlannedRange(tenant_id, first, after, count)


def _measure_range(scope: Scope, after: int) -> tuple[int, int, int]:
    """Return first position, last position and number of the next events; the number may be 0."""
    condition, params = scope.events_sql()
    (row,) = fetch(
        f"""
        SELECT COALESCE(min(position), 0), COALESCE(max(position), 0), count(*) FROM (
            SELECT e.stream_position AS position FROM sw_events e
            WHERE {condition} AND e.stream_position > %s ORDER BY e.stream_position LIMIT %s
        ) coming
        """,
        [*params, after, RANGE_EVENTS],
    )
    return row[0], row[1], row[2]
