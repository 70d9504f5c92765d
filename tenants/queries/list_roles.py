from __future__ import annotations

from uuid import UUID

from django.db.models import Count

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Role, Tenant
from tenants.queries.group_nesting import role_holders
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import BUILT_IN, role_row
from tenants.queries.serializers import Row


def list_roles(*, operator: Operator, tenant: str) -> list[Row]:
    """The roles of one tenant by slug, the built-in ones always, with how often each is granted
    and how many active participants hold it in all. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    holders = role_holders(within)
    counted = Role.objects.filter(tenant=within).annotate(
        participants=Count("grants__participant"), groups=Count("grants__group")
    )
    rows = [
        _row(role, participants=role.participants, groups=role.groups, holders=holders)
        for role in counted
    ]
    there = {row["slug"] for row in rows}
    rows += [_row(role, holders={}) for role in _unused(within) if role.slug not in there]
    return sorted(rows, key=lambda row: str(row["slug"]))


def _unused(tenant: Tenant) -> list[Role]:
    """The built-in roles as they are before they have rows."""
    return [
        Role(tenant=tenant, slug=slug, name=name, is_built_in=True)
        for slug, name in BUILT_IN.items()
    ]


def _row(role: Role, *, holders: dict[UUID, int], participants: int = 0, groups: int = 0) -> Row:
    return {
        **role_row(role),
        "participants": participants,
        "groups": groups,
        "holders": holders.get(role.pk, 0),
    }
