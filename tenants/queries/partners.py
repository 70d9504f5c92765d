"""List partners."""

from __future__ import annotations

from django.db.models import Count

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Participant, Tenant
from tenants.queries.serializers import Row, partner_row
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.visibility import visible_partners


def list_partners(*, operator: Operator, status: str = "all") -> list[Row]:
    """Return the partners within the operator's scope, with their active tenants and members."""
    operator.require(Permission.VIEW)
    partners = visible_partners(operator).filter(status_q(status)).order_by("slug", "name", "pk")
    active = Tenant.objects.filter(status_q("active"), partner__in=partners)
    tenants = dict(active.values_list("partner").annotate(Count("pk")))
    people = Participant.objects.filter(MEMBERS, tenant__partner__in=partners)
    members = dict(people.values_list("tenant__partner").annotate(Count("pk")))
    return [
        {
            **partner_row(partner),
            "tenants": tenants.get(partner.pk, 0),
            "members": members.get(partner.pk, 0),
        }
        for partner in partners
    ]
