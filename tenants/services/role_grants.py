from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from django.db import transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Group, Role, RoleGrant, RoleSource
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import resolve_role, role_row
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.role_holders import (
    Holder,
    check_present,
    describe,
    find_grant,
    holder_filter,
    holder_row,
    resolve_holder,
)
from tenants.services.role_rules import check_authority, check_not_oneself, lock_role


class GrantOutcome(Enum):
    """`TAKEN_OVER` is a grant of ScaiKey's that is by hand from now on, and so outlives it."""

    GRANTED = "granted"
    TAKEN_OVER = "taken_over"
    ALREADY = "already"


@dataclass(frozen=True)
class GrantRoleResult:
    """`outcome` is what a dry run would have come to, too."""

    role: Role
    holder: Holder
    outcome: GrantOutcome
    dry_run: bool = False

    @property
    def changed(self) -> bool:
        return self.outcome is not GrantOutcome.ALREADY and not self.dry_run

    @property
    def sentences(self) -> list[str]:
        return [self._told, *self._notes()]

    @property
    def _told(self) -> str:
        slug, who = self.role.slug, describe(self.holder, opens=True)
        if self.outcome is GrantOutcome.ALREADY:
            return f"{who} has role {slug} by hand already."
        if self.outcome is GrantOutcome.GRANTED:
            did = "Would grant" if self.dry_run else "Granted"
            return f"{did} role {slug} to {describe(self.holder)}."
        held = f"{who} has role {slug} from ScaiKey"
        if self.dry_run:
            return f"{held}; would make that a grant by hand."
        return f"{held}; it is a grant by hand now, and stays when ScaiKey takes its own away."

    def _notes(self) -> list[str]:
        tenant = self.role.tenant
        reason = None if isinstance(self.holder, Group) else self.holder.inactive_reason
        whose = {"they are": reason, f"tenant {tenant.slug} is": tenant.inactive_reason}
        return [f"It counts for nothing while {who} {why}." for who, why in whose.items() if why]

    def document(self) -> Row:
        document = {
            "role": role_row(self.role),
            **holder_row(self.holder),
            "outcome": self.outcome.value,
            "changed": self.changed,
        }
        return {**document, "dry_run": True} if self.dry_run else document


def grant_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    to: str,
    is_group: bool,
    now: datetime,
    dry_run: bool = False,
) -> GrantRoleResult:
    """Give a role by hand to a participant, or to a group and so to everybody in it.

    Granting what was granted by hand already changes nothing. Granting what ScaiKey grants makes
    that grant one by hand: a role and a holder have one row together, and the hand wins.

    Raises RoleNotFound, TenantNotFound, ParticipantNotFound, GroupNotFound, AmbiguousName,
    RoleHolderInactive, SuperAdminOnly and SelfElevation.
    """
    operator.require(Permission.MANAGE_ROLES)
    within = resolve_tenant(operator, tenant)
    found = resolve_role(within, role)
    check_authority(operator, found)
    holder = resolve_holder(operator, within, to, is_group=is_group)
    check_not_oneself(operator, holder)
    check_present(holder)
    if dry_run:
        return GrantRoleResult(found, holder, _outcome(find_grant(found, holder)), dry_run=True)
    return _granted(operator, found, holder, now)


def _outcome(there: RoleGrant | None) -> GrantOutcome:
    if there is None:
        return GrantOutcome.GRANTED
    return GrantOutcome.TAKEN_OVER if there.source == RoleSource.SCAIKEY else GrantOutcome.ALREADY


@transaction.atomic
def _granted(operator: Operator, found: Role, holder: Holder, now: datetime) -> GrantRoleResult:
    role = lock_role(found, now=now)
    outcome = _outcome(find_grant(role, holder))
    if outcome is GrantOutcome.ALREADY:
        return GrantRoleResult(role, holder, outcome)
    by_hand = {"source": RoleSource.MANUAL, "granted_by": operator.name, "created_at": now}
    RoleGrant.objects.update_or_create(
        role=role, **holder_filter(holder), defaults={"tenant": role.tenant, **by_hand}
    )
    record_audit(
        operator=operator,
        action="role grant",
        subject=holder,
        tenant=role.tenant,
        now=now,
        details={"role": role.slug, "outcome": outcome.value},
    )
    return GrantRoleResult(role, holder, outcome)
