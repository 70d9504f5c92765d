from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from scaiwave.operators import Operator, Permission
from tenants.errors import RoleBuiltIn, RoleHeld
from tenants.models import Role, RoleGrant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import resolve_role, role_row
from tenants.queries.rows import Row
from tenants.services.audit import record
from tenants.services.role_holders import described
from tenants.services.role_rules import lock_role

NAMED = 10
"""Holders that an error names one by one."""


@dataclass(frozen=True)
class DeletedRole:
    role: Row
    tenant: str
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        did = "Would delete" if self.dry_run else "Deleted"
        return f"{did} role {self.role['slug']} of tenant {self.tenant}."

    def document(self) -> Row:
        document = {"role": self.role, "tenant": self.tenant, "deleted": not self.dry_run}
        return {**document, "dry_run": True} if self.dry_run else document


def delete_role(
    *, operator: Operator, role: str, tenant: str, now: datetime, dry_run: bool = False
) -> DeletedRole:
    """Delete a role that was granted to nobody, or whose grants are all revoked.

    Raises RoleNotFound, TenantNotFound, AmbiguousName, RoleBuiltIn and RoleHeld.
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
            record(
                operator=operator,
                action="role delete",
                subject=found,
                tenant=within,
                now=now,
                details={"slug": found.slug, "name": found.name},
            )
            found.delete()
    return DeletedRole(row, within.slug, dry_run=dry_run)


def _check_unheld(role: Role) -> None:
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    if not (number := grants.count()):
        return
    named = "; ".join(_holder_of(grant) for grant in grants.order_by("pk")[:NAMED])
    more = f"; and {number - NAMED:,} more" if number > NAMED else ""
    raise RoleHeld(
        f"The role {role.slug} is granted {number:,} times: {named}{more}.",
        fix=f"Revoke each first: `scaiwave role revoke {role.slug} --tenant {role.tenant.slug} "
        "--from <participant>` or `--from-group <group>`; those from ScaiKey are taken there.",
    )


def _holder_of(grant: RoleGrant) -> str:
    holder = grant.participant or grant.group
    from_scaikey = " from ScaiKey" if grant.source == "scaikey" else ""
    return f"to {described(holder)}{from_scaikey}"  # type: ignore[arg-type]  # One of them is set.
