from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Count, Q

from scaiwave.auth.operators import Operator, Permission
from tenants.models import AuditEntry, Group, Participant, RoleGrant
from tenants.queries.group_nesting import active_member_counts, effective_members
from tenants.queries.resolve import resolve_group, resolve_tenant
from tenants.queries.serializers import (
    Row,
    get_server_name,
    group_row,
    last_audit_entries,
    participant_row,
)

GROUP_STATUSES = ("active", "absent", "all")

_PRESENT_EDGE = Q(memberships__absent_since=None)


def list_groups(*, operator: Operator, tenant: str, status: str = "active") -> list[Row]:
    """The groups of one tenant with their direct members, and how many active people are in them
    with those of nested groups. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    groups = Group.objects.filter(_status_q(status), tenant=within).annotate(
        direct_people=Count("memberships__member_participant", filter=_PRESENT_EDGE),
        direct_groups=Count("memberships__member_group", filter=_PRESENT_EDGE),
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


def _status_q(status: str) -> Q:
    return {
        "active": Q(absent_since=None),
        "absent": Q(absent_since__isnull=False),
        "all": Q(),
    }[status]


def show_group(*, operator: Operator, name: str, tenant: str | None = None) -> Row:
    """One group, who is in it directly and by way of other groups, and what roles it gives.

    Raises `GroupNotFound`, `TenantNotFound` or `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant) if tenant is not None else None
    group = resolve_group(operator, name, tenant=within)
    members = _list_members(group)
    audit = AuditEntry.objects.filter(tenant_id=str(group.tenant_id), subject_id=str(group.pk))
    return {
        **group_row(group),
        "tenant": group.tenant.slug,
        "active_people": sum(row["status"] == "active" for row in members),
        "member_of": _list_neighbours(group, upwards=True),
        "groups": _list_neighbours(group, upwards=False),
        "members": members,
        "roles": _list_roles(group),
        "audit": last_audit_entries(audit),
    }


def _list_members(group: Group) -> list[Row]:
    """By name, the direct ones first. `through` names the member groups that lead to the others."""
    through = effective_members(group)
    inside = group.memberships.filter(member_group__isnull=False)
    children = dict(inside.values_list("member_group", "member_group__name"))
    server_name = get_server_name()
    rows = [
        {
            **participant_row(person, server_name=server_name),
            "direct": group.pk in through[person.pk],
            "through": _member_group_names(group, through[person.pk], children),
        }
        for person in Participant.objects.in_bulk([*through]).values()
    ]
    return sorted(rows, key=lambda row: (not row["direct"], row["display_name"], str(row["id"])))


def _member_group_names(group: Group, ways: set[UUID], children: Mapping[UUID, str]) -> list[str]:
    return [] if group.pk in ways else sorted(children[way] for way in ways)


def _list_neighbours(group: Group, *, upwards: bool) -> list[Row]:
    """The groups it is directly in, or those that are directly in it."""
    if upwards:
        near = Group.objects.filter(
            memberships__member_group=group, memberships__absent_since=None, absent_since=None
        )
    else:
        near = Group.objects.filter(
            memberships_of_it__group=group, memberships_of_it__absent_since=None, absent_since=None
        )
    return [{"id": other.pk, "name": other.name} for other in near.order_by("name", "pk")]


def _list_roles(group: Group) -> list[Row]:
    grants = RoleGrant.objects.filter(group=group).select_related("role").order_by("role__slug")
    return [
        {"slug": grant.role.slug, "name": grant.role.name, "source": grant.source}
        for grant in grants
    ]
