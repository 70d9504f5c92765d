"""Limits of tenants and partners, and warnings if current usage exceeds them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from scaiwave.console.output import format_bytes
from scaiwave.core.operators import Operator
from tenants.errors import InvalidLimit
from tenants.models import Tenant
from tenants.people.queries.tenants import MIB, show_tenant

# The largest values of the columns.
_INTEGER, _BIG_INTEGER = 2**31 - 1, 2**63 - 1
MAX_LIMITS = {
    "max_participants": _INTEGER,
    "max_rooms": _INTEGER,
    "max_storage_mb": _INTEGER,
    "max_ai_tokens_month": _BIG_INTEGER,
}
# For each limit the key of its usage, and its name in a warning.
_USAGE = {
    "max_participants": ("participants", "active participants"),
    "max_rooms": ("rooms", "rooms"),
    "max_storage_mb": ("storage_bytes", "storage"),
    "max_ai_tokens_month": ("ai_tokens_month", "AI tokens this month"),
}


def validate_limits(limits: Mapping[str, int | None], *, entity: str = "tenant") -> None:
    """Raises `InvalidLimit`. None means unlimited; `entity` is tenant or partner."""
    for name, limit in limits.items():
        maximum = MAX_LIMITS.get(name, _INTEGER)
        if limit is not None and not 0 <= limit <= maximum:
            raise InvalidLimit(
                f"Invalid limit {name} of a {entity}: {limit}.",
                fix=f"Pass a whole number from 0 to {maximum}, or `none`.",
            )


def limit_warnings(
    operator: Operator, tenant: Tenant, limits: Mapping[str, int | None], now: datetime
) -> list[str]:
    """Return a sentence for each of these limits that current usage exceeds."""
    if all(limit is None for limit in limits.values()):
        return []
    used = show_tenant(operator=operator, name=str(tenant.pk), now=now)["limits"]
    sentences = (
        _format_warning(tenant, name, limit, used[_USAGE[name][0]]["used"])
        for name, limit in limits.items()
        if limit is not None
    )
    return [sentence for sentence in sentences if sentence]


def _format_warning(tenant: Tenant, name: str, limit: int, used: int | None) -> str:
    """Return an empty text if usage is within the limit or unknown."""
    is_storage = name == "max_storage_mb"
    if used is None or used <= (limit * MIB if is_storage else limit):
        return ""
    in_use = format_bytes(used) if is_storage else f"{used:,}"
    allowed = format_bytes(limit * MIB) if is_storage else f"{limit:,}"
    return (
        f"Tenant {tenant.slug} exceeds the new limit for {_USAGE[name][1]}: {in_use} in use, "
        f"{allowed} allowed. Nothing is deleted."
    )
