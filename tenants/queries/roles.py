"""The roles of a tenant, by what an operator types."""

from __future__ import annotations

from scaiwave.console.output import strip_control_chars
from tenants.errors import RoleNotFound
from tenants.models import Role, RoleGrant, Tenant
from tenants.queries.resolve import is_storable_text, parse_uuid
from tenants.queries.serializers import Row

SUPER_ADMIN = "super_admin"
# Every tenant has these; they have a row once they are granted.
BUILT_IN = {
    SUPER_ADMIN: "Super administrator",
    "partner_admin": "Partner administrator",
    "tenant_admin": "Tenant administrator",
}


def resolve_role(tenant: Tenant, name: str) -> Role:
    """By slug or id; a built-in one without a row comes unsaved. Raises `RoleNotFound`."""
    if (role := find_role(tenant, name)) is None:
        raise RoleNotFound(
            f"There is no role {strip_control_chars(name)!r} in tenant {tenant.slug}.",
            fix=f"`scaiwave role list --tenant {tenant.slug}` shows them.",
        )
    return role


def find_role(tenant: Tenant, name: str) -> Role | None:
    if not is_storable_text(name):
        return None
    # A slug never looks like an id, so that the two can't mean different roles.
    key = parse_uuid(name)
    same = {"slug": name} if key is None else {"pk": key}
    found = Role.objects.filter(tenant=tenant, **same).first()
    if found is None and name in BUILT_IN:
        return Role(tenant=tenant, slug=name, name=BUILT_IN[name], is_built_in=True)
    return found


def role_row(role: Role) -> Row:
    """A built-in role that has no row yet has no id and no time."""
    there = not role._state.adding
    return {
        "id": role.pk if there else None,
        "slug": role.slug,
        "name": role.name,
        "built_in": role.is_built_in,
        "created_at": role.created_at if there else None,
    }


def grant_row(grant: RoleGrant) -> Row:
    return {
        "id": grant.pk,
        "source": grant.source,
        "granted_by": grant.granted_by,
        "created_at": grant.created_at,
    }
