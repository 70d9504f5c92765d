"""Roles and grants for tests."""

from __future__ import annotations

from typing import Any

from scaiwave.core.change import Change
from scaiwave.core.operators import Operator, OperatorRole
from tenants.models import Group, Participant, Role, RoleGrant, Tenant
from tenants.roles.grants import grant_role, revoke_role
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    add_members,
    make_group,
    make_person,
)


def make_role(tenant: Tenant, slug: str = "editors", **fields: Any) -> Role:
    values = {"name": slug.title(), "created_at": EARLIER, **fields}
    return Role.objects.create(tenant=tenant, slug=slug, **values)


def make_grant(role: Role, holder: Participant | Group, **fields: Any) -> RoleGrant:
    """Make a grant without the checks of the service."""
    side = "group" if isinstance(holder, Group) else "participant"
    values = {"granted_by": "root", "created_at": EARLIER, **fields}
    return RoleGrant.objects.create(tenant=role.tenant, role=role, **{side: holder}, **values)


def grant(grantee: Participant | Group, role: str = "editors", **changes: Any) -> Change:
    return grant_role(role=role, **{**_name(grantee), **changes})


def revoke(grantee: Participant | Group, role: str = "editors", **changes: Any) -> Change:
    return revoke_role(role=role, **{**_name(grantee), **changes})


def _name(grantee: Participant | Group) -> dict[str, Any]:
    return {
        "operator": HOST_OPERATOR,
        "tenant": "acme",
        "holder": str(grantee.pk),
        "is_group": isinstance(grantee, Group),
        "now": NOW,
    }


def make_super_admin_operator(person: Participant) -> Operator:
    """The operator whose token was given to this person."""
    return Operator("sue", OperatorRole.SUPER_ADMIN, subject=str(person.scaikey_id))


def make_nested_groups(tenant: Tenant) -> tuple[Participant, Group]:
    """anna, in Backend in Engineering in All in Engineering, a circle; and All."""
    anna = make_person(tenant)
    backend, engineering, all_group = (
        make_group(tenant, name) for name in ("Backend", "Engineering", "All")
    )
    add_members(backend, anna)
    add_members(engineering, backend, all_group)
    add_members(all_group, engineering)
    return anna, all_group
