from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.errors import RoleBuiltIn, RoleConflict
from tenants.models import Role, Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import BUILT_IN, role_row
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.role_names import check_role_name, validate_role_slug


@dataclass(frozen=True)
class CreateRoleResult:
    """`created` is False when it was there already, and in a dry run."""

    role: Row
    tenant: str
    created: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        what = f"role {self.role['slug']} in tenant {self.tenant}"
        if self.dry_run:
            return f"Would create {what}."
        if self.created:
            return f"Created {what} ({self.role['id']})."
        return f"Role {self.role['slug']} is already there in tenant {self.tenant}."

    def document(self) -> Row:
        document = {"role": self.role, "tenant": self.tenant, "created": self.created}
        return {**document, "dry_run": True} if self.dry_run else document


def create_role(
    *,
    operator: Operator,
    tenant: str,
    slug: str,
    name: str,
    now: datetime,
    dry_run: bool = False,
) -> CreateRoleResult:
    """Make a role that rooms can ask for and that can be granted.

    The same arguments once more find it there and change nothing. Raises InvalidRoleSlug,
    InvalidName, RoleBuiltIn, RoleConflict, TenantNotFound and AmbiguousName.
    """
    operator.require(Permission.MANAGE_ROLES)
    within = resolve_tenant(operator, tenant)
    validate_role_slug(slug)
    check_role_name(name)
    if slug in BUILT_IN:
        raise RoleBuiltIn(
            f"Every tenant has the role {slug} from the start.",
            fix=f"Grant it: `scaiwave role grant {slug} --tenant {within.slug} --to <who>`.",
        )
    if there := _already_there(within, slug, name):
        return CreateRoleResult(role_row(there), within.slug, created=False)
    role = Role(tenant=within, slug=slug, name=name, created_at=now)
    if dry_run:
        return CreateRoleResult(role_row(role), within.slug, created=False, dry_run=True)
    return _created(operator, role, now)


def _already_there(tenant: Tenant, slug: str, name: str) -> Role | None:
    """The role, if it is so called. Raises `RoleConflict` if it is another one."""
    there = Role.objects.filter(tenant=tenant, slug=slug).first()
    if there is not None and there.name != name:
        raise RoleConflict(
            f"Tenant {tenant.slug} has a role {slug} already, called {there.name!r}.",
            fix="Choose another slug, or give that name.",
        )
    return there


def _created(operator: Operator, role: Role, now: datetime) -> CreateRoleResult:
    """Insert it. Of two at once the database's unique constraint lets one through."""
    tenant = role.tenant
    try:
        with transaction.atomic():
            role.save(force_insert=True)
            record_audit(
                operator=operator,
                action="role create",
                subject=role,
                tenant=tenant,
                now=now,
                details={"slug": role.slug, "name": role.name},
            )
    except IntegrityError:
        if there := _already_there(tenant, role.slug, role.name):
            return CreateRoleResult(role_row(there), tenant.slug, created=False)
        raise
    return CreateRoleResult(role_row(role), tenant.slug, created=True)
