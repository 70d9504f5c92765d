"""The end of a backfill: what no range could see to, and whether the index is right."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, Min, Sum

from rooms.models import SearchBackfill
from rooms.search.engine import Counts, Index, Part
from rooms.search.scope import Scope
from rooms.services.search_runs import open_ranges, run_scope
from scaiwave.process_locks import process_lock
from tenants.models import Tenant


def finished(index: Index, run: SearchBackfill, now: datetime) -> bool:
    """Finish the run if nothing is left to do; returns whether it is finished, by whomever."""
    with process_lock(f"search-finish-{run.pk.hex}") as free:
        run.refresh_from_db()
        if run.finished_at is None and free and not open_ranges(run).exists():
            _finish(index, run, now)
    return run.finished_at is not None


def _finish(index: Index, run: SearchBackfill, now: datetime) -> None:
    index.end()
    scope = run_scope(run)
    tenants = {row["tenant_id"]: row for row in _ranges_of_tenants(run)}
    counts = index.counts(scope, run.pk)
    # Messages go on being edited, redacted and deleted while a run is on its way.
    if wrong := [of for of, count in counts.items() if not count.right]:
        for tenant in wrong:
            _look_again(index, scope, tenants.setdefault(tenant, _nothing(tenant)))
        counts = index.counts(scope, run.pk)
    run.outcome = {"tenants": _outcome(tenants, counts)}
    run.finished_at = now
    run.save(update_fields=["outcome", "finished_at"])
    run.ranges.all().delete()


def _look_again(index: Index, scope: Scope, ends: dict[str, Any]) -> None:
    tenant = ends["tenant_id"]
    done = index.index(Part(scope, tenant, ends["first"] - 1, ends["last"]))
    ends["written"] += done.written
    ends["removed"] += done.removed
    if scope.whole:
        ends["removed"] += index.remove_orphans(tenant)


def _nothing(tenant: UUID) -> dict[str, Any]:
    """Of a tenant in which there is no event any more."""
    return {"tenant_id": tenant, "first": 1, "last": 0, "written": 0, "removed": 0}


def _ranges_of_tenants(run: SearchBackfill) -> Any:
    return run.ranges.values("tenant_id").annotate(
        first=Min("first"), last=Max("last"), written=Sum("written"), removed=Sum("removed")
    )


def _outcome(tenants: dict[UUID, Any], counts: dict[UUID, Counts]) -> list[dict[str, Any]]:
    slugs = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "slug"))
    return [
        {
            "tenant": slugs[of],
            "tenant_id": str(of),
            "through": row["last"],
            "written": row["written"],
            "removed": row["removed"],
            **counts.get(of, Counts()).document(),
        }
        for of, row in sorted(tenants.items(), key=lambda item: slugs.get(item[0], ""))
        if of in slugs  # a tenant may be gone by now
    ]
