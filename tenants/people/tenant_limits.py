"""Limits of tenants and partners, and warnings if current usage exceeds them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from scaiwave.console.output import format_bytes
from scaiwave.core.operators import Operator, Permission
from tenants.errors import InvalidLimit
from tenants.models import Tenant
from tenants.people.queries.figures import load_figures
from tenants.people.queries.tenants import MIB

# The largest values of the columns.
MAX_LIMIT = 2**31 - 1
MAX_LIMITS = {
    "max_participants": MAX_LIMIT,
    "max_rooms": MAX_LIMIT,
    "max_storage_mb": MAX_LIMIT,
    "max_ai_tokens_month": 2**63 - 1,
}
# For each limit the figure of its usage, and its name in a warning.
_USAGE = {
    "max_participants": ("participants", "active participants"),
    "max_rooms": ("rooms", "rooms"),
    "max_storage_mb": ("storage_bytes", "storage"),
    "max_ai_tokens_month": ("ai_tokens", "AI tokens this month"),
}


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
    return {name: _format(name, used) for name, used in usage.items() if used is not None}


def limit_warnings(
    operator: Operator, tenant: Tenant, limits: Mapping[str, int | None], now: datetime
) -> list[str]:
    """Return a sentence for each of these limits that current usage exceeds."""
    if all(limit is None for limit in limits.values()):
        return []
    usage = _load_usage(operator, tenant, now)
    sentences = (
        _format_warning(tenant, name, limit, usage[name])
        for name, limit in limits.items()
        if limit is not None
    )
    return [sentence for sentence in sentences if sentence]


def _load_usage(operator: Operator, tenant: Tenant, now: datetime) -> dict[str, int | None]:
    operator.require(Permission.VIEW)
    figures = load_figures([tenant.pk], now)[tenant.pk]
    return {name: figures.get(key) for name, (key, _) in _USAGE.items()}


def _format_warning(tenant: Tenant, name: str, limit: int, used: int | None) -> str:
    """Return an empty text if usage is within the limit or unknown."""
    allowed = limit * MIB if name == "max_storage_mb" else limit
    if used is None or used <= allowed:
        return ""
    return (
        f"Tenant {tenant.slug} exceeds the new limit for {_USAGE[name][1]}: "
        f"{_format(name, used)} in use, {_format(name, allowed)} allowed. Nothing is deleted."
    )


def _format(name: str, value: int) -> str:
    return format_bytes(value) if name == "max_storage_mb" else f"{value:,}"
