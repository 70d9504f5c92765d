"""The end of a backfill: what no range could see to, and whether the index is right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Sum

from rooms.models import SearchBackfill
from rooms.search.base import Counts, SearchIndex
from rooms.services.search.runs import pending_ranges, scope_of_run
from rooms.services.search.worker import BatchSizer, index_step
from scaiwave.locks import process_lock
from tenants.models import Tenant

LOOKS = 3
"""At each tenant that is not right. While messages go on being edited one may never be for long."""
KEPT = 10
"""Finished runs of the same kind. One is made every hour, and tells of every tenant."""


@dataclass
class TenantProgress:
    """What a run has come to in a tenant; `last` is 0 where there is no event any more."""

    last: int = 0
    written: int = 0
    removed: int = 0


def try_finish(index: SearchIndex, run: SearchBackfill, now: datetime) -> bool:
    """Finish the run if nothing is left to do; returns whether it is finished, by whomever.

    Raises `SearchBackfill.DoesNotExist` where somebody gave it up.
    """
    with process_lock(f"search-finish-{run.pk.hex}") as free:
        run.refresh_from_db()
        if run.finished_at is None and free and not pending_ranges(run).exists():
            _finish(index, run, now)
            run.refresh_from_db()
    return run.finished_at is not None


def _finish(index: SearchIndex, run: SearchBackfill, now: datetime) -> None:
    index.end()
    tenants = _done_by_tenant(run)
    counts = index.counts(scope_of_run(run), run.pk)
    # Messages go on being edited, redacted and deleted while a run is on its way.
    for tenant in [of for of, count in counts.items() if not count.right]:
        counts[tenant] = _put_right(
            index, run, tenant, tenants.setdefault(tenant, TenantProgress())
        )
    with transaction.atomic():
        SearchBackfill.objects.filter(pk=run.pk).update(
            outcome={"tenants": _outcome(tenants, counts)}, finished_at=now
        )
        run.ranges.all().delete()
        _forget_old(run)


def _put_right(
    index: SearchIndex, run: SearchBackfill, tenant: UUID, done: TenantProgress
) -> Counts:
    """Counts it alone, so that little can change between the look and the count."""
    scope = replace(scope_of_run(run), tenant_id=tenant)
    counts = Counts()
    for _ in range(LOOKS):
        _look_again(index, run, tenant, done)
        counts = index.counts(scope, run.pk).get(tenant, Counts())
        if counts.right:
            break
    return counts


def _look_again(
    index: SearchIndex, run: SearchBackfill, tenant: UUID, done: TenantProgress
) -> None:
    scope, pace = scope_of_run(run), BatchSizer()
    for part in run.ranges.filter(tenant=tenant).order_by("first"):
        after = part.first - 1
        while after < part.last:
            after, step = index_step(index, scope, part, after=after, pace=pace)
            done.written += step.written
            done.removed += step.removed
    if scope.whole:
        done.removed += index.remove_orphans(tenant)


def _done_by_tenant(run: SearchBackfill) -> dict[UUID, TenantProgress]:
    rows = run.ranges.values("tenant_id").annotate(
        through=Max("last"), total=Sum("written"), gone=Sum("removed")
    )
    return {
        row["tenant_id"]: TenantProgress(row["through"], row["total"], row["gone"]) for row in rows
    }


def _forget_old(run: SearchBackfill) -> None:
    """Of the same tenant and room; apart from those that look at what is new, since doctor goes by
    the last that looked at everything."""
    alike = SearchBackfill.objects.filter(
        tenant=run.tenant_id, room=run.room_id, since__isnull=run.since is None
    ).exclude(finished_at=None)
    old = list(alike.order_by("-started_at").values_list("pk", flat=True)[KEPT:])
    SearchBackfill.objects.filter(pk__in=old).delete()


def _outcome(
    tenants: dict[UUID, TenantProgress], counts: dict[UUID, Counts]
) -> list[dict[str, Any]]:
    slugs = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "slug"))
    return [
        {
            "tenant": slugs[of],
            "tenant_id": str(of),
            "through": done.last,
            "written": done.written,
            "removed": done.removed,
            **counts.get(of, Counts()).document(),
        }
        for of, done in sorted(tenants.items(), key=lambda item: slugs.get(item[0], ""))
        if of in slugs  # a tenant may be gone by now
    ]
