"""Finish a backfill: repair what changed while it ran, and count whether the index is right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Sum

from rooms.models import SearchBackfill
from rooms.search.base import IndexCounts
from rooms.search.database import SearchIndex
from rooms.search.queries import pending_ranges, scope_of_run
from rooms.search.worker import BatchSizer, index_step
from scaiwave.core.locks import process_lock
from tenants.models import Tenant

MAX_REPAIRS = 3
"""Attempts per tenant; while messages go on being edited, its counts may never agree for long."""
MAX_KEPT_RUNS = 10
"""Finished runs kept per scope. Cron adds one every hour, each with a row per tenant."""


@dataclass
class TenantProgress:
    """What a run did in one tenant; `last` is the last position, 0 if no event is left."""

    last: int = 0
    written: int = 0
    removed: int = 0


def try_finish(index: SearchIndex, run: SearchBackfill, now: datetime) -> bool:
    """Finish the run if no range is left; return whether it is finished, by any process.

    Raises `SearchBackfill.DoesNotExist` if another process restarted it.
    """
    with process_lock(f"search-finish-{run.pk.hex}") as acquired:
        run.refresh_from_db()
        if run.finished_at is None and acquired and not pending_ranges(run).exists():
            _finish(index, run, now)
            run.refresh_from_db()
    return run.finished_at is not None


def _finish(index: SearchIndex, run: SearchBackfill, now: datetime) -> None:
    index.end_backfill()
    sums = run.ranges.values_list("tenant_id").annotate(Max("last"), Sum("written"), Sum("removed"))
    progress = {tenant_id: TenantProgress(*numbers) for tenant_id, *numbers in sums}
    counts = index.count(scope_of_run(run), run.pk)
    # Messages are edited, redacted and deleted while a run is in progress.
    inconsistent = [key for key, tenant in counts.items() if not tenant.is_consistent]
    for tenant_id in inconsistent:
        counts[tenant_id] = _repair_tenant(
            index, run, tenant_id, progress.setdefault(tenant_id, TenantProgress())
        )
    with transaction.atomic():
        SearchBackfill.objects.filter(pk=run.pk).update(
            outcome={"tenants": _build_outcome(progress, counts), "state": index.state},
            finished_at=now,
        )
        run.ranges.all().delete()
        # Keep the latest finished runs of the same tenant and room. Runs with `since` are counted
        # apart from others: `doctor` needs the last run that covered every event.
        same_scope = SearchBackfill.objects.filter(
            tenant=run.tenant_id, room=run.room_id, since__isnull=run.since is None
        ).exclude(finished_at=None)
        newest_first = same_scope.order_by("-started_at").values_list("pk", flat=True)
        SearchBackfill.objects.filter(pk__in=list(newest_first[MAX_KEPT_RUNS:])).delete()


def _repair_tenant(
    index: SearchIndex, run: SearchBackfill, tenant_id: UUID, progress: TenantProgress
) -> IndexCounts:
    """Index one tenant again and count it alone, so that little changes in between."""
    scope, counts = scope_of_run(run), IndexCounts()
    for _ in range(MAX_REPAIRS):
        sizer = BatchSizer()
        for search_range in run.ranges.filter(tenant=tenant_id).order_by("first"):
            after = search_range.first - 1
            while after < search_range.last:
                after, result = index_step(index, scope, search_range, after=after, sizer=sizer)
                progress.written += result.written
                progress.removed += result.removed
        if scope.is_whole:
            progress.removed += index.remove_orphans(tenant_id)
        found = index.count(replace(scope, tenant_id=tenant_id), run.pk)
        counts = found.get(tenant_id, IndexCounts())
        if counts.is_consistent:
            break
    return counts


def _build_outcome(
    progress: dict[UUID, TenantProgress], counts: dict[UUID, IndexCounts]
) -> list[dict[str, Any]]:
    """Return one row per tenant, by slug; tenants deleted during the run are left out."""
    slugs = dict(Tenant.objects.filter(pk__in=progress).values_list("pk", "slug"))
    return [
        {
            "tenant": slugs[tenant_id],
            "tenant_id": str(tenant_id),
            "through": tenant.last,
            "written": tenant.written,
            "removed": tenant.removed,
            **counts.get(tenant_id, IndexCounts()).document(),
        }
        for tenant_id, tenant in sorted(progress.items(), key=lambda item: slugs.get(item[0], ""))
        if tenant_id in slugs
    ]
