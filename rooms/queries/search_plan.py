from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rooms.models import SearchBackfill
from rooms.search.backend import open_index
from rooms.search.base import Counts
from rooms.services.search.runs import BackfillOptions, build_scope, pending_ranges
from scaiwave.auth.operators import Operator, Permission
from tenants.models import Tenant
from tenants.queries.serializers import Row


@dataclass(frozen=True)
class SearchPlan:
    """What a backfill would find to do; `unfinished` is the run it would take up."""

    tenants: list[Row]
    unfinished: Row | None

    def document(self) -> dict[str, Any]:
        return {"tenants": self.tenants, "unfinished": self.unfinished}


def search_plan(*, operator: Operator, wish: BackfillOptions) -> SearchPlan:
    """Raises `UsageError`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW_PLATFORM)
    scope = build_scope(operator, wish)
    with open_index() as index:
        counts = index.counts(scope)
    tenants = Tenant.objects.order_by("slug")
    if scope.tenant_id is not None:
        tenants = tenants.filter(pk=scope.tenant_id)
    rows = [
        {"tenant": slug, "tenant_id": key, **counts.get(key, Counts()).document()}
        for key, slug in tenants.values_list("pk", "slug")
    ]
    return SearchPlan(rows, _unfinished(scope.name))


def _unfinished(scope: str) -> Row | None:
    run = SearchBackfill.objects.filter(scope=scope, finished_at=None).first()
    if run is None:
        return None
    return {
        "run_id": run.pk,
        "started_at": run.started_at,
        "ranges": run.ranges.count(),
        "ranges_left": pending_ranges(run).count(),
    }
