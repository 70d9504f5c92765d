"""What tenants use, as SQL expressions, to show, sort and filter many tenants in few queries.

Figures of other apps come from `scaiwave.extensions`. `list_tenants` and `show_tenant` show the
same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    F,
    Func,
    IntegerField,
    Model,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from scaiwave import extensions
from scaiwave.core.sql import fetch_column
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.models import ACTIVE, Participant, Tenant, TokenUsage
from tenants.people.queries.limits import BY_FIGURE, LIMITS
from tenants.people.queries.tenants import usage_month

Figures = dict[str, Any]

STATUS_ORDER = Case(
    When(status_q("active"), then=Value(0)),
    When(status_q("deactivated"), then=Value(2)),
    default=Value(1),
    output_field=IntegerField(),
)
"""Sorts active tenants before suspended and deactivated ones."""


@dataclass(frozen=True)
class TenantTotal:
    """A figure that adds up rows with the field `tenant`: their number, or a field of theirs."""

    rows: Callable[[], QuerySet[Any]]
    field: str = ""

    @property
    def model(self) -> type[Model]:
        return self.rows().model

    def build(self, now: datetime) -> Coalesce:
        """Return the expression for a query of tenants, 0 without rows.

        It selects a range that has one tenant. Where most rows belong to one tenant, databases
        expect as many of each tenant, and would read all rows for each.
        """
        function, field = ("SUM", F(self.field)) if self.field else ("COUNT", Value(1))
        figure = Func(field, function=function, output_field=BigIntegerField())
        own = self.rows().filter(tenant__gte=OuterRef("pk"), tenant__lte=OuterRef("pk"))
        own = own.order_by().annotate(figure=figure)
        return Coalesce(Subquery(own.values("figure")), 0, output_field=BigIntegerField())

    def __call__(self, tenant_ids: Collection[UUID]) -> dict[UUID, int]:
        """Return that figure of each of these tenants, from one pass over their rows."""
        return {**dict.fromkeys(tenant_ids, 0), **self.load_sums(tenant_ids)}

    def load_sums(self, tenants: QuerySet[Any] | Collection[UUID] | None) -> dict[UUID, int]:
        """Return that figure of these tenants, or of all, without tenants that have no rows."""
        sums = self.sum_by_tenant()
        found = sums if tenants is None else sums.filter(tenant__in=tenants)
        return {key: int(figure) for key, figure in found}  # PostgreSQL adds up to a Decimal.

    def sum_by_tenant(self) -> QuerySet[Any]:
        figure = Sum(self.field) if self.field else Count("*")
        keyed = self.rows().order_by().annotate(key=F("tenant_id")).values_list("key")
        sums: QuerySet[Any] = keyed.annotate(figure=figure)
        return sums

    def list_tenants_from(self, least: Any) -> QuerySet[Any]:
        """Return the IDs of the tenants with that figure or more, from one pass over the rows."""
        figure = Sum(self.field) if self.field else Count("pk")
        totals = self.rows().order_by().values("tenant").annotate(figure=figure)
        found: QuerySet[Any] = totals.filter(figure__gt=0, figure__gte=least).values("tenant")
        return found


@dataclass(frozen=True)
class TenantFigure:
    """A figure that is an expression for a query of tenants, with `OuterRef("pk")`.

    It is computed from the rows of `model`.
    """

    build: Callable[[datetime], Any]
    model: type[Model]


@cache
def _load_totals() -> Mapping[str, extensions.TotalSource]:
    """Return the totals of this app and others that sort and filter tenants."""
    others = {**extensions.TENANT_TOTALS, **extensions.TENANT_FILTER_TOTALS}
    return {
        "members": TenantTotal(lambda: Participant.objects.filter(MEMBERS)),
        "participants": TenantTotal(lambda: Participant.objects.filter(ACTIVE)),
        **{name: total.load() for name, total in others.items()},
    }


def _build_ai_tokens(now: datetime) -> Subquery:
    """An unknown number is NULL."""
    usage = TokenUsage.objects.filter(month=usage_month(now), tenant=OuterRef("pk"))
    return Subquery(usage.values("total_tokens")[:1])


@cache
def _load_figures() -> Mapping[str, extensions.FigureSource]:
    others = {name: figure.load() for name, figure in extensions.TENANT_FIGURES.items()}
    return {**_load_totals(), "ai_tokens": TenantFigure(_build_ai_tokens, TokenUsage), **others}


def find_figure(name: str, now: datetime) -> Any:
    """Return the expression of a figure, or None."""
    figure = _load_figures().get(name)
    return figure.build(now) if figure else None


def find_figure_model(name: str) -> type[Model] | None:
    """Return the model with the rows of a figure, or None for another name."""
    figure = _load_figures().get(name)
    return figure.model if figure else None


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


@dataclass(frozen=True)
class LimitShare:
    """The greatest share that a tenant uses of a limit; `name` is the figure."""

    share: float
    slug: str
    name: str
    tenant_id: UUID


def load_shares(
    tenants: QuerySet[Tenant], now: datetime, *, within: QuerySet[Tenant] | None = None
) -> list[LimitShare]:
    """Return the tenants that use some of a limit. The first one uses up a limit of 0.

    `within` are few tenants, among which these are: only their rows are read.

    Adds up the rows of all tenants once: with an expression for each tenant, a database that
    misjudges how the rows are spread would read all for each.
    """
    keys = None if within is None else within.order_by().values("pk")
    usage = TokenUsage.objects.filter(month=usage_month(now))
    used = {"ai_tokens": dict(usage.values_list("tenant", "total_tokens"))}
    used |= {name: _load_totals()[name].load_sums(keys) for name in BY_FIGURE if name not in used}
    shares = []
    fields = [limit.field for limit in LIMITS]
    for key, slug, *values in tenants.order_by().values_list("pk", "slug", *fields):
        share, name = max(
            (_divide(used[limit.figure].get(key), value, limit.unit), limit.figure)
            for limit, value in zip(LIMITS, values, strict=True)
        )
        if share:
            shares.append(LimitShare(share, slug, name, key))
    return shares


def _divide(number: int | None, limit: int | None, unit: int) -> float:
    if not number or limit is None:
        return 0.0
    return number / (limit * unit) if limit else 1.0


def filter_by_share(tenants: QuerySet[Tenant], least: float, now: datetime) -> QuerySet[Tenant]:
    """Return the tenants that use this share of a limit or more. One uses up a limit of 0.

    The database compares them, once: a list reads its rows several times.
    """
    usage = TokenUsage.objects.filter(month=usage_month(now))
    keyed = usage.annotate(key=F("tenant_id"), figure=F("total_tokens"))
    sums = {"ai_tokens": keyed.values_list("key", "figure")}
    sums |= {name: _load_totals()[name].sum_by_tenant() for name in BY_FIGURE if name not in sums}
    joins, conditions = "", []
    values: list[Any] = []
    for name, rows in sums.items():
        sql, parameters = rows.query.sql_with_params()
        joins += f" LEFT JOIN ({sql}) AS {name} ON {name}.key = sw_tenants.id"
        limit = f"{BY_FIGURE[name].field} * CAST({BY_FIGURE[name].unit} AS BIGINT)"
        conditions.append(f"({name}.figure > 0 AND {name}.figure >= {least} * {limit})")
        values += parameters
    where = " OR ".join(conditions)
    found = fetch_column(f"SELECT sw_tenants.id FROM sw_tenants{joins} WHERE {where}", values)  # noqa: S608
    # All keys as one value: databases read thousands of values slowly.
    if connection.vendor == "postgresql":
        keys = RawSQL("SELECT unnest(%s::uuid[])", [list(found)])
    else:
        keys = RawSQL("SELECT value FROM json_each(%s)", [json.dumps(found)])
    return tenants.filter(pk__in=keys)


def filter_by_total(tenants: QuerySet[Tenant], name: str) -> QuerySet[Tenant]:
    """Return the tenants that have rows of a total."""
    return tenants.filter(pk__in=_load_totals()[name].list_tenants_from(1))
