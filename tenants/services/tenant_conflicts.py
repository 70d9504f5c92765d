"""Slugs and ScaiKey tenants are unique. Who has one already is told only to those who may see
that tenant."""

from __future__ import annotations

from scaiwave.auth.operators import Operator
from tenants.errors import TenantConflict
from tenants.models import Tenant
from tenants.queries.visibility import visible_tenants


def slug_conflict(operator: Operator, other: Tenant) -> TenantConflict:
    if not _sees(operator, other):
        return TenantConflict(f"The slug {other.slug!r} is taken.", fix="Choose another slug.")
    linked = f"ScaiKey tenant {other.scaikey_tenant_id}" if other.scaikey_tenant_id else "local"
    partner = f"partner {other.partner}" if other.partner else "no partner"
    return TenantConflict(
        f"There is another tenant {other.slug!r} already: {other.name!r}, {linked}, {partner}.",
        fix=f"Choose another slug; `scaiwave admin show-tenant {other.slug}` shows that one.",
    )


def scaikey_id_conflict(operator: Operator, other: Tenant) -> TenantConflict:
    if not _sees(operator, other):
        return TenantConflict(
            f"The ScaiKey tenant {other.scaikey_tenant_id} is taken.",
            fix="Check the id in ScaiKey.",
        )
    return TenantConflict(
        f"The ScaiKey tenant {other.scaikey_tenant_id} is here already, as tenant {other.slug!r} "
        f"({other.name!r}).",
        fix=f"Check the id in ScaiKey; `scaiwave admin show-tenant {other.slug}` shows that one.",
    )


def _sees(operator: Operator, tenant: Tenant) -> bool:
    return visible_tenants(operator).filter(pk=tenant.pk).exists()
