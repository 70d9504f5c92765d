"""Limit queries to an operator's scope. Records outside it are treated as not existing.

Tenants that are being erased do not exist either.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from scaiwave.core.operators import Operator
from tenants.models import Group, Participant, Partner, Tenant, TenantErasure


def visible_partners(operator: Operator) -> QuerySet[Partner]:
    """A tenant's administrator sees no partner, since it is not part of the tenant."""
    if operator.sees_everything:
        return Partner.objects.all()
    if operator.partner_id:
        return Partner.objects.filter(scaikey_id=operator.partner_id)
    return Partner.objects.none()


def erasing_tenants() -> QuerySet[TenantErasure, UUID]:
    """Return the IDs of tenants that are being erased."""
    return TenantErasure.objects.filter(finished_at=None).values_list("tenant_id", flat=True)


def visible_tenants(operator: Operator) -> QuerySet[Tenant]:
    tenants = Tenant.objects.exclude(pk__in=erasing_tenants())
    if operator.sees_everything:
        return tenants
    if operator.partner_id:
        return tenants.filter(partner__scaikey_id=operator.partner_id)
    return tenants.filter(scaikey_tenant_id=operator.tenant_id)


def visible_participants(operator: Operator) -> QuerySet[Participant]:
    if operator.sees_everything:
        return Participant.objects.exclude(tenant__in=erasing_tenants())
    return Participant.objects.filter(tenant__in=visible_tenants(operator))


def visible_groups(operator: Operator) -> QuerySet[Group]:
    if operator.sees_everything:
        return Group.objects.exclude(tenant__in=erasing_tenants())
    return Group.objects.filter(tenant__in=visible_tenants(operator))


def scaikey_tenant_slug(scaikey_tenant_id: str) -> str | None:
    """Return the slug of a ScaiKey tenant, which is part of its addresses in ScaiKey."""
    tenants = Tenant.objects.filter(scaikey_tenant_id=scaikey_tenant_id)
    return tenants.values_list("slug", flat=True).first()
