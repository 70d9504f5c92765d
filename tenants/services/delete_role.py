from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from scaiwave.auth.operators import Operator, Permission
from scaiwave.registry import role_uses
from tenants.errors import RoleBuiltIn, RoleInUse
from tenants.models import Role, RoleGrant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import resolve_role, role_row
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.role_holders import describe
from tenants.services.role_rules import lock_role

NAMED = 10
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
        named = _listed(self.named_by, len(self.named_by))
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
        _check_unheld(found)
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
    return DeleteRoleResult(row, within.slug, role_uses(within.pk, row["slug"]), dry_run=dry_run)


def _check_unheld(role: Role) -> None:
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    if not (number := grants.count()):
        return
    named = [_holder_of(grant) for grant in grants.order_by("pk")[:NAMED]]
    raise RoleInUse(
        f"The role {role.slug} is granted {number:,} times: {_listed(named, number)}.",
        fix=f"Revoke each first: `scaiwave role revoke {role.slug} --tenant {role.tenant.slug} "
        "--from <participant>` or `--from-group <group>`; those from ScaiKey are taken there.",
    )


def _listed(names: Sequence[str], number: int) -> str:
    """The first of so many."""
    more = f"; and {number - NAMED:,} more" if number > NAMED else ""
    return "; ".join(names[:NAMED]) + more


def _holder_of(grant: RoleGrant) -> str:
    holder = grant.participant or grant.group
    from_scaikey = " from ScaiKey" if grant.source == "scaikey" else ""
    return f"to {describe(holder)}{from_scaikey}"  # type: ignore[arg-type]  # One of them is set.
