"""List groups and show one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet

from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page, one_more
from scaiwave.core.sql import batched
from tenants.lookup.group_nesting import active_member_counts, effective_members
from tenants.lookup.resolve import resolve_group, resolve_tenant
from tenants.lookup.serializers import (
    Row,
    get_server_name,
    group_row,
    last_audit_entries,
    participant_row,
)
from tenants.lookup.sorting import SortKey, sort_rows
from tenants.models import AuditEntry, Group, Participant, RoleGrant

GROUP_STATUSES = {
    "active": Q(absent_since=None),
    "deactivated": Q(absent_since__isnull=False),
    "all": Q(),
}
BATCH_SIZE = 500

_PRESENT_EDGE = Q(memberships__absent_since=None)


def list_groups(
    *,
    operator: Operator,
    tenant: str,
    status: str = "active",
    after: UUID | None = None,
    limit: int | None = None,
) -> Page:
    """Return the groups of one tenant by name, with their direct members and all active members.

    Members of nested groups count as active members. Continues after the group with that ID. Only
    the members of groups that are shown are counted, one batch at a time. Raises `TenantNotFound`,
    `AmbiguousName` or `UsageError`, at once.
    """
    operator.require(Permission.VIEW)
    resolved = resolve_tenant(operator, tenant)
    groups = Group.objects.filter(GROUP_STATUSES[status], tenant=resolved)
    ordered = sort_rows(groups, [SortKey(F("name"))], after=after)
    ids = ordered.values_list("pk", flat=True)[: one_more(limit)]
    return Page(_iter_rows(ids.iterator(chunk_size=BATCH_SIZE)), limit, count=groups.count)


def _iter_rows(ids: Iterator[UUID]) -> Generator[Row, None, None]:
    for batch in batched(ids, BATCH_SIZE):
        groups = (
            Group.objects.filter(pk__in=batch)
            .annotate(
                direct_people=Count("memberships__member_participant", filter=_PRESENT_EDGE),
                direct_groups=Count("memberships__member_group", filter=_PRESENT_EDGE),
            )
            .in_bulk()
        )
        active = active_member_counts(batch)
        for group in (groups[key] for key in batch if key in groups):
            yield {
                **group_row(group),
                "direct_people": group.direct_people,
                "direct_groups": group.direct_groups,
                "active_people": active.get(group.pk, 0),
            }


def show_group(*, operator: Operator, name: str, tenant: str | None = None) -> Row:
    """Return one group with its direct and indirect members, and the roles it grants.

    Raises `GroupNotFound`, `TenantNotFound` or `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    resolved_tenant = resolve_tenant(operator, tenant) if tenant is not None else None
    group = resolve_group(operator, name, tenant=resolved_tenant)
    members = _list_members(group)
    parents = Group.objects.filter(memberships__member_group=group, memberships__absent_since=None)
    children = Group.objects.filter(
        memberships_of_it__group=group, memberships_of_it__absent_since=None
    )
    grants = RoleGrant.objects.filter(group=group).select_related("role").order_by("role__slug")
    audit = AuditEntry.objects.filter(tenant_id=str(group.tenant_id), subject_id=str(group.pk))
    return {
        **group_row(group),
        "tenant": group.tenant.slug,
        "active_people": sum(row["status"] == "active" for row in members),
        "member_of": _name_present(parents),
        "groups": _name_present(children),
        "members": members,
        "roles": [
            {"slug": grant.role.slug, "name": grant.role.name, "source": grant.source}
            for grant in grants
        ],
        "audit_entries": last_audit_entries(audit),
    }


def _list_members(group: Group) -> list[Row]:
    """Return direct members first, then by name.

    `through` names the member groups that lead to an indirect member.
    """
    via = effective_members(group)
    inside = group.memberships.filter(member_group__isnull=False)
    names = dict(inside.values_list("member_group", "member_group__name"))
    server_name = get_server_name()
    rows = [
        {
            **participant_row(person, server_name=server_name),
            "direct": group.pk in via[person.pk],
            "through": []
            if group.pk in via[person.pk]
            else sorted(names[key] for key in via[person.pk]),
        }
        for person in Participant.objects.in_bulk([*via]).values()
    ]
    return sorted(rows, key=lambda row: (not row["direct"], row["display_name"], str(row["id"])))


def _name_present(groups: QuerySet[Group]) -> list[Row]:
    present = groups.filter(absent_since=None).order_by("name", "pk")
    return [dict(row) for row in present.values("id", "name")]
