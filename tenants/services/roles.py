from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from scaiwave.auth.operators import Operator, Permission
from scaiwave.registry import find_role_uses
from tenants.errors import RoleBuiltIn, RoleConflict, RoleInUse
from tenants.models import Role, RoleGrant, Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import BUILT_IN, resolve_role, role_row
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.role_rules import describe, lock_role
from tenants.services.validators import validate_role_name, validate_role_slug


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
    validate_role_name(name)
    if slug in BUILT_IN:
        raise RoleBuiltIn(
            f"Every tenant has the role {slug} from the start.",
            fix=f"Grant it: `scaiwave role grant {slug} --tenant {within.slug} --to <who>`.",
        )
    if there := _find_existing(within, slug, name):
        return CreateRoleResult(role_row(there), within.slug, created=False)
    role = Role(tenant=within, slug=slug, name=name, created_at=now)
    if dry_run:
        return CreateRoleResult(role_row(role), within.slug, created=False, dry_run=True)
    return _insert(operator, role, now)


def _find_existing(tenant: Tenant, slug: str, name: str) -> Role | None:
    """The role, if it is so called. Raises `RoleConflict` if it is another one."""
    there = Role.objects.filter(tenant=tenant, slug=slug).first()
    if there is not None and there.name != name:
        raise RoleConflict(
            f"Tenant {tenant.slug} has a role {slug} already, called {there.name!r}.",
            fix="Choose another slug, or give that name.",
        )
    return there


def _insert(operator: Operator, role: Role, now: datetime) -> CreateRoleResult:
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
        if there := _find_existing(tenant, role.slug, role.name):
            return CreateRoleResult(role_row(there), tenant.slug, created=False)
        raise
    return CreateRoleResult(role_row(role), tenant.slug, created=True)


MAX_NAMED = 10
"""Holders, or what else names the role, that are told one by one."""


@dataclass(frozen=True)
class DeleteRoleResult:
    """`named_by` is what still lets in whoever has a role of this slug, in words."""

    role: Row
    tenant: str
    named_by: list[str]
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        did = "Would delete" if self.dry_run else "Deleted"
        return f"{did} role {self.role['slug']} of tenant {self.tenant}."

    @property
    def warning(self) -> str:
        """Empty if nothing names the role."""
        if not self.named_by:
            return ""
        named = _join_names(self.named_by, len(self.named_by))
        return (
            f"Still read by holders of {self.role['slug']}: {named}. Nobody holds it now; whoever "
            "is granted a role made later with this slug can read them."
        )

    def document(self) -> Row:
        document = {
            "role": self.role,
            "tenant": self.tenant,
            "deleted": not self.dry_run,
            "named_by": self.named_by,
        }
        return {**document, "dry_run": True} if self.dry_run else document


def delete_role(
    *, operator: Operator, role: str, tenant: str, now: datetime, dry_run: bool = False
) -> DeleteRoleResult:
    """Delete a role that was granted to nobody, or whose grants are all revoked.

    Rooms that name it are no obstacle: nobody reads them by it, and they are changed elsewhere.

    Raises RoleNotFound, TenantNotFound, AmbiguousName, RoleBuiltIn and RoleInUse.
    """
    operator.require(Permission.MANAGE_ROLES)
    within = resolve_tenant(operator, tenant)
    found = resolve_role(within, role)
    if found.is_built_in:
        raise RoleBuiltIn(
            f"The role {found.slug} is built in and can't be deleted.",
            fix="Revoke it from its holders; a role that nobody holds does nothing.",
        )
    # A plan alone takes no lock, and so needs nobody to wait.
    with nullcontext() if dry_run else transaction.atomic():
        if not dry_run:
            found = lock_role(found, now=now)
        _ensure_not_granted(found)
        row = role_row(found)
        if not dry_run:
            record_audit(
                operator=operator,
                action="role delete",
                subject=found,
                tenant=within,
                now=now,
                details={"slug": found.slug, "name": found.name},
            )
            found.delete()
    return DeleteRoleResult(
        row, within.slug, find_role_uses(within.pk, row["slug"]), dry_run=dry_run
    )


def _ensure_not_granted(role: Role) -> None:
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    if not (number := grants.count()):
        return
    named = [_describe_grant(grant) for grant in grants.order_by("pk")[:MAX_NAMED]]
    raise RoleInUse(
        f"The role {role.slug} is granted {number:,} times: {_join_names(named, number)}.",
        fix=f"Revoke each first: `scaiwave role revoke {role.slug} --tenant {role.tenant.slug} "
        "--from <participant>` or `--from-group <group>`; those from ScaiKey are taken there.",
    )


def _join_names(names: Sequence[str], number: int) -> str:
    """The first of so many."""
    more = f"; and {number - MAX_NAMED:,} more" if number > MAX_NAMED else ""
    return "; ".join(names[:MAX_NAMED]) + more


def _describe_grant(grant: RoleGrant) -> str:
    holder = grant.participant or grant.group
    from_scaikey = " from ScaiKey" if grant.source == "scaikey" else ""
    return f"to {describe(holder)}{from_scaikey}"  # type: ignore[arg-type]  # One of them is set.
