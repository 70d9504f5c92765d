"""Limit queries to an operator's scope. Records outside it are treated as not existing."""

from __future__ import annotations

from django.db.models import QuerySet

from scaiwave.core.operators import Operator
from tenants.models import Group, Participant, Partner, Tenant


def visible_partners(operator: Operator) -> QuerySet[Partner]:
    """A tenant's administrator sees no partner, since it is not part of the tenant."""
    if operator.sees_everything:
        return Partner.objects.all()
    if operator.partner_id:
        return Partner.objects.filter(scaikey_id=operator.partner_id)
    return Partner.objects.none()


def visible_tenants(operator: Operator) -> QuerySet[Tenant]:
    if operator.sees_everything:
        return Tenant.objects.all()
    if operator.partner_id:
        return Tenant.objects.filter(partner__scaikey_id=operator.partner_id)
    return Tenant.objects.filter(scaikey_tenant_id=operator.tenant_id)


def visible_participants(operator: Operator) -> QuerySet[Participant]:
    if operator.sees_everything:
        return Participant.objects.all()
    return Participant.objects.filter(tenant__in=visible_tenants(operator))


def visible_groups(operator: Operator) -> QuerySet[Group]:
    if operator.sees_everything:
        return Group.objects.all()
    return Group.objects.filter(tenant__in=visible_tenants(operator))


def scaikey_tenant_slug(scaikey_tenant_id: str) -> str | None:
    """Return the slug of a ScaiKey tenant, which is part of its addresses in ScaiKey."""
    tenants = Tenant.objects.filter(scaikey_tenant_id=scaikey_tenant_id)
    return tenants.values_list("slug", flat=True).first()
