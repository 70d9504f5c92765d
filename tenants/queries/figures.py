"""What tenants use, as SQL expressions, to show, sort and filter many tenants in few queries.

Other apps register theirs. The numbers are those of `list_tenants` and `show_tenant`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce

from tenants.models import ACTIVE, Participant, Tenant, TokenUsage
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.tenants import MIB, usage_month

Figures = dict[str, Any]

_registered: dict[str, Callable[[], Any]] = {}

STATUS_ORDER = Case(
    When(status_q("active"), then=Value(0)),
    When(status_q("deactivated"), then=Value(2)),
    default=Value(1),
    output_field=IntegerField(),
)
"""Sorts active tenants before suspended and deactivated ones."""

# The limit of each figure, in the unit of the figure.
LIMITS = {
    "participants": Cast("max_participants", BigIntegerField()),
    "rooms": Cast("max_rooms", BigIntegerField()),
    "storage_bytes": Cast("max_storage_mb", BigIntegerField()) * MIB,
    "ai_tokens": F("max_ai_tokens_month"),
}


def register_figure(name: str, build: Callable[[], Any]) -> None:
    """Add a figure of another app: an expression for a query of tenants, with `OuterRef("pk")`."""
    _registered[name] = build


def count_of_tenant(rows: QuerySet[Any]) -> Coalesce:
    """Return the expression that counts the rows of a tenant; their field is `tenant`."""
    counts = rows.filter(tenant=OuterRef("pk")).order_by().values("tenant")
    counts = counts.annotate(figure=Count("pk")).values("figure")
    return Coalesce(Subquery(counts), 0, output_field=BigIntegerField())


def find_figure(name: str, now: datetime) -> Any:
    """Return the expression of a figure, or None. An unknown number of AI tokens is NULL."""
    if name == "members":
        return count_of_tenant(Participant.objects.filter(MEMBERS))
    if name == "participants":
        return count_of_tenant(Participant.objects.filter(ACTIVE))
    if name == "ai_tokens":
        usage = TokenUsage.objects.filter(month=usage_month(now), tenant=OuterRef("pk"))
        return Subquery(usage.values("total_tokens")[:1])
    return _registered[name]() if name in _registered else None


def build_figures(names: Iterable[str], now: datetime) -> Figures:
    """Return the expressions of those figures that there are, by name."""
    figures = {name: find_figure(name, now) for name in names}
    return {name: figure for name, figure in figures.items() if figure is not None}


def load_figures(tenant_ids: Collection[UUID], now: datetime) -> dict[UUID, dict[str, Any]]:
    """Return all figures of these tenants by name, from one query and those that build them."""
    names = ("members", "participants", "ai_tokens", *_registered)
    figures = {f"figure_{name}": each for name, each in build_figures(names, now).items()}
    rows = Tenant.objects.filter(pk__in=tenant_ids).annotate(**figures).values("pk", *figures)
    return {
        row.pop("pk"): {name.removeprefix("figure_"): value for name, value in row.items()}
        for row in rows
    }


def filter_by_use(tenants: QuerySet[Tenant], now: datetime, *, is_full: bool) -> QuerySet[Tenant]:
    """Return the tenants that use at least 80 % of a limit, or with `is_full` all of one.

    The first one uses up a limit of 0.
    """
    figures = build_figures(LIMITS, now)
    condition = Q()
    for name in figures:
        limit: Any = LIMITS[name]
        # A fifth less, rounded up. Nothing is multiplied, because a cap may be near the maximum.
        least = limit if is_full else limit - limit / Value(5)
        condition |= Q(**{f"used_{name}__gt": 0, f"used_{name}__gte": least})
    used = {f"used_{name}": figure for name, figure in figures.items()}
    return tenants.alias(**used).filter(condition)
