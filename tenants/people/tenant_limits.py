"""Limits of tenants and partners, and warnings if current usage exceeds them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from scaiwave.core.operators import Operator, Permission
from tenants.errors import InvalidLimit
from tenants.models import Tenant
from tenants.people.queries.figures import load_figures
from tenants.people.queries.limits import LIMITS, MAX_LIMIT, TenantLimit

MAX_LIMITS = {limit.field: limit.maximum for limit in LIMITS}


def validate_limits(limits: Mapping[str, int | None], *, entity: str = "tenant") -> None:
    """Raises `InvalidLimit`. None means unlimited; `entity` is tenant or partner."""
    for name, limit in limits.items():
        maximum = MAX_LIMITS.get(name, MAX_LIMIT)
        if limit is not None and not 0 <= limit <= maximum:
            raise InvalidLimit(
                f"Invalid limit {name} of a {entity}: {limit}.",
                fix=f"Pass a whole number from 0 to {maximum}, or `none`.",
            )


def describe_usage(operator: Operator, tenant: Tenant, now: datetime) -> dict[str, str]:
    """Return the current usage of each limit as a text, if it is known."""
    usage = _load_usage(operator, tenant, now)
    return {each.field: each.format(used) for each, used in usage.items() if used is not None}


def limit_warnings(
    operator: Operator, tenant: Tenant, limits: Mapping[str, int | None], now: datetime
) -> list[str]:
    """Return a sentence for each of these limits that current usage exceeds."""
    if all(limit is None for limit in limits.values()):
        return []
    return [
        f"Tenant {tenant.slug} exceeds the new limit for {limit.words}: "
        f"{limit.format(used)} in use, {limit.format(allowed)} allowed. Nothing is deleted."
        for limit, used in _load_usage(operator, tenant, now).items()
        if used is not None
        and (new := limits.get(limit.field)) is not None
        and used > (allowed := new * limit.unit)
    ]


def _load_usage(operator: Operator, tenant: Tenant, now: datetime) -> dict[TenantLimit, int | None]:
    operator.require(Permission.VIEW)
    figures = load_figures([tenant.pk], now)[tenant.pk]
    return {limit: figures.get(limit.figure) for limit in LIMITS}
