from __future__ import annotations

from django.db.models import Count, Q

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Group
from tenants.queries.group_nesting import active_member_counts
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, group_row

STATUSES = ("active", "absent", "all")

_EDGE = Q(memberships__absent_since=None)


def list_groups(*, operator: Operator, tenant: str, status: str = "active") -> list[Row]:
    """The groups of one tenant with their direct members, and how many active people are in them
    with those of nested groups. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    groups = Group.objects.filter(_with_status(status), tenant=within).annotate(
        direct_people=Count("memberships__member_participant", filter=_EDGE),
        direct_groups=Count("memberships__member_group", filter=_EDGE),
    )
    people = active_member_counts(within)
    return [
        {
            **group_row(group),
            "direct_people": group.direct_people,
            "direct_groups": group.direct_groups,
            "active_people": people.get(group.pk, 0),
        }
        for group in groups.order_by("name", "pk")
    ]


def _with_status(status: str) -> Q:
    return {
        "active": Q(absent_since=None),
        "absent": Q(absent_since__isnull=False),
        "all": Q(),
    }[status]
