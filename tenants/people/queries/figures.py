"""What tenants use, as SQL expressions, to show, sort and filter many tenants in few queries.

Figures of other apps come from `scaiwave.extensions`. `list_tenants` and `show_tenant` show the
same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    F,
    Func,
    IntegerField,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce

from scaiwave import extensions
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.models import ACTIVE, Participant, Tenant, TokenUsage
from tenants.people.queries.tenants import MIB, usage_month

Figures = dict[str, Any]

STATUS_ORDER = Case(
    When(status_q("active"), then=Value(0)),
    When(status_q("deactivated"), then=Value(2)),
    default=Value(1),
    output_field=IntegerField(),
)
"""Sorts active tenants before suspended and deactivated ones."""

LIMITS = ("participants", "rooms", "storage_bytes", "ai_tokens")
"""The figures that have a limit."""


def build_limit(name: str, prefix: str = "") -> Any:
    """Return the expression for a figure's limit, in its unit. `prefix` leads to the tenant."""
    if name == "storage_bytes":
        return Cast(f"{prefix}max_storage_mb", BigIntegerField()) * MIB
    if name == "ai_tokens":
        return F(f"{prefix}max_ai_tokens_month")
    return Cast(f"{prefix}max_{name}", BigIntegerField())


@dataclass(frozen=True)
class TenantTotal:
    """A figure that adds up rows with the field `tenant`: their number, or a field of theirs."""

    rows: Callable[[], QuerySet[Any]]
    field: str = ""

    def build(self) -> Coalesce:
        """Return the expression for a query of tenants, 0 without rows.

        It selects a range that has one tenant. Where most rows belong to one tenant, databases
        expect as many of each tenant, and would read all rows for each.
        """
        function, field = ("SUM", F(self.field)) if self.field else ("COUNT", Value(1))
        figure = Func(field, function=function, output_field=BigIntegerField())
        own = self.rows().filter(tenant__gte=OuterRef("pk"), tenant__lte=OuterRef("pk"))
        own = own.order_by().annotate(figure=figure)
        return Coalesce(Subquery(own.values("figure")), 0, output_field=BigIntegerField())

    def list_tenants_from(self, least: Any) -> QuerySet[Any]:
        """Return the IDs of the tenants with that figure or more, from one pass over the rows."""
        figure = Sum(self.field) if self.field else Count("pk")
        totals = self.rows().order_by().values("tenant").annotate(figure=figure)
        found: QuerySet[Any] = totals.filter(figure__gt=0, figure__gte=least).values("tenant")
        return found


@dataclass(frozen=True)
class TenantFigure:
    """A figure that is an expression for a query of tenants, with `OuterRef("pk")`.

    `model` has the rows from which it is computed.
    """

    build: Callable[[], Any]
    model: type[Model]


@cache
def _load_totals() -> Mapping[str, extensions.TotalSource]:
    """Return the totals by which tenants are sorted or filtered, of this app and of those above."""
    others = {**extensions.TENANT_TOTALS, **extensions.TENANT_FILTER_TOTALS}
    return {
        "members": TenantTotal(lambda: Participant.objects.filter(MEMBERS)),
        "participants": TenantTotal(lambda: Participant.objects.filter(ACTIVE)),
        **{name: total.load() for name, total in others.items()},
    }


def find_figure(name: str, now: datetime) -> Any:
    """Return the expression of a figure, or None. An unknown number of AI tokens is NULL."""
    if (total := _load_totals().get(name)) is not None:
        return total.build()
    if name == "ai_tokens":
        usage = TokenUsage.objects.filter(month=usage_month(now), tenant=OuterRef("pk"))
        return Subquery(usage.values("total_tokens")[:1])
    figure = extensions.TENANT_FIGURES.get(name)
    return None if figure is None else figure.load().build()


def find_figure_model(name: str) -> type[Model] | None:
    """Return the model of the rows from which a figure is computed, or None for another name."""
    if (total := _load_totals().get(name)) is not None:
        return total.rows().model
    if name == "ai_tokens":
        return TokenUsage
    figure = extensions.TENANT_FIGURES.get(name)
    return None if figure is None else figure.load().model


def build_figures(names: Iterable[str], now: datetime) -> Figures:
    """Return the expressions of those figures that there are, by name."""
    figures = {name: find_figure(name, now) for name in names}
    return {name: figure for name, figure in figures.items() if figure is not None}


def load_figures(tenant_ids: Collection[UUID], now: datetime) -> dict[UUID, dict[str, Any]]:
    """Return all figures of these tenants by name, from one query and the queries of other apps."""
    others = (*extensions.TENANT_TOTALS, *extensions.TENANT_FIGURES)
    names = ("members", "participants", "ai_tokens", *others)
    figures = {f"figure_{name}": each for name, each in build_figures(names, now).items()}
    rows = Tenant.objects.filter(pk__in=tenant_ids).annotate(**figures).values("pk", *figures)
    return {
        row.pop("pk"): {name.removeprefix("figure_"): value for name, value in row.items()}
        for row in rows
    }


def filter_by_use(tenants: QuerySet[Tenant], now: datetime, *, is_full: bool) -> QuerySet[Tenant]:
    """Return the tenants that use at least 80% of a limit, or with `is_full` all of one.

    The first one uses up a limit of 0. They are found once, here: lists read the result several
    times. Adds up the rows of all tenants once: with an expression for
    each tenant, a database that misjudges how the rows are spread would read all for each.
    """
    condition = Q()
    for name in LIMITS:
        limit = build_limit(name, "tenant__")
        # A fifth less, rounded up. Nothing is multiplied, because a cap may be near the maximum.
        least = limit if is_full else limit - limit / Value(5)
        if name == "ai_tokens":
            usage = TokenUsage.objects.filter(month=usage_month(now), total_tokens__gt=0)
            condition |= Q(pk__in=usage.filter(total_tokens__gte=least).values("tenant"))
        else:
            condition |= Q(pk__in=_load_totals()[name].list_tenants_from(least))
    found = Tenant.objects.filter(condition).values_list("pk", flat=True)
    return tenants.filter(pk__in=list(found))


def filter_by_total(tenants: QuerySet[Tenant], name: str) -> QuerySet[Tenant]:
    """Return the tenants that have rows of a total."""
    return tenants.filter(pk__in=_load_totals()[name].list_tenants_from(1))
