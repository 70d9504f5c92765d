"""Plan a backfill of the search index, or find the unfinished run to resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from django.db import IntegrityError, transaction

from rooms.models import SearchBackfill, SearchRange
from rooms.search.queries import BackfillOptions, build_scope
from rooms.search.scope import Scope, measure_range
from scaiwave.core.operators import Operator
from tenants.audit.record import record_audit
from tenants.models import Tenant

RANGE_EVENTS = 50_000
"""Events per range: seconds of work, or a minute or two with vectors."""


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


def _create_run(
    operator: Operator,
    scope: Scope,
    options: BackfillOptions,
    ranges: list[SearchRange],
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
    for planned in ranges:
        planned.backfill = run
    SearchRange.objects.bulk_create(ranges, batch_size=500)
    record_audit(
        operator=operator,
        action="backfill-search-index",
        subject=run,
        tenant=run.tenant,
        now=now,
        details={"restart": options.restart, "ranges": len(ranges)},
    )
    return run


def _plan_ranges(scope: Scope) -> Iterator[SearchRange]:
    """Yield ranges over all events of the scope, tenant by tenant, without a run."""
    tenants = Tenant.objects.order_by("slug").values_list("pk", flat=True)
    if scope.tenant_id is not None:
        tenants = tenants.filter(pk=scope.tenant_id)
    for tenant_id in tenants:
        after, count = 0, RANGE_EVENTS
        while count == RANGE_EVENTS:
            tenant_scope = replace(scope, tenant_id=tenant_id, since=None)
            first, after, count = measure_range(tenant_scope, after, RANGE_EVENTS)
            if count:
                yield SearchRange(
                    tenant_id=tenant_id,
                    first=first,
                    last=after,
                    done_through=first - 1,
                    events=count,
                )
