"""What a tenant may be limited to, and whether it uses more than that already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from scaiwave.auth.operators import Operator
from scaiwave.console.output import format_bytes
from tenants.errors import InvalidLimit
from tenants.models import Tenant
from tenants.queries.tenants import MIB, show_tenant

# What the columns hold.
_INTEGER, _BIG_INTEGER = 2**31 - 1, 2**63 - 1
MAX_LIMITS = {
    "max_participants": _INTEGER,
    "max_rooms": _INTEGER,
    "max_storage_mb": _INTEGER,
    "max_ai_tokens_month": _BIG_INTEGER,
}
_USAGE_TEXTS = {
    "max_participants": ("participants", "has {:,} active participants"),
    "max_rooms": ("rooms", "has {:,} rooms"),
    "max_storage_mb": ("storage_bytes", "stores {}"),
    "max_ai_tokens_month": ("ai_tokens_month", "has used {:,} AI tokens this month"),
}


def validate_limits(limits: Mapping[str, int | None], *, of: str = "tenant") -> None:
    """Raises `InvalidLimit`. None is no limit; `of` is what is limited, in words."""
    for name, limit in limits.items():
        greatest = MAX_LIMITS.get(name, _INTEGER)
        if limit is not None and not 0 <= limit <= greatest:
            raise InvalidLimit(
                f"{limit} can't be the {name} of a {of}.",
                fix=f"A limit is a whole number from 0 to {greatest}, or none.",
            )


def limit_warnings(
    operator: Operator, tenant: Tenant, limits: Mapping[str, int | None], now: datetime
) -> list[str]:
    """A sentence for each of these limits that is below what the tenant uses already."""
    if all(limit is None for limit in limits.values()):
        return []
    used = show_tenant(operator=operator, name=str(tenant.pk), now=now)["limits"]
    sentences = (
        _format_warning(tenant, name, limit, used[_USAGE_TEXTS[name][0]]["used"])
        for name, limit in limits.items()
        if limit is not None
    )
    return [sentence for sentence in sentences if sentence]


def _format_warning(tenant: Tenant, name: str, limit: int, used: int | None) -> str:
    """Empty when it is within the limit, or when nobody knows."""
    is_storage = name == "max_storage_mb"
    if used is None or used <= (limit * MIB if is_storage else limit):
        return ""
    act = _USAGE_TEXTS[name][1].format(format_bytes(used) if is_storage else used)
    allowed = format_bytes(limit * MIB) if is_storage else f"{limit:,}"
    return f"Tenant {tenant.slug} {act}, more than the {allowed} allowed; nothing is removed."
