"""List slugs, which shells complete."""

from __future__ import annotations

from scaiwave.core.operators import Operator, Permission
from tenants.lookup.visibility import visible_tenants
from tenants.models import Role
from tenants.roles.queries.roles import BUILT_IN


def list_slugs(*, operator: Operator, kind: str) -> list[str]:
    """Return the slugs of tenants or of their roles, each once."""
    operator.require(Permission.VIEW)
    tenants = visible_tenants(operator)
    if kind != "roles":
        return list(tenants.order_by("slug").values_list("slug", flat=True))
    roles = Role.objects.filter(tenant__in=tenants).values_list("slug", flat=True).distinct()
    return sorted({*roles, *BUILT_IN})
