from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from django.db import transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.errors import RoleFromScaiKey
from tenants.models import Group, Role, RoleGrant, RoleSource
from tenants.queries.resolve import resolve_tenant
from tenants.queries.roles import RoleAssignment, effective_roles, resolve_role, role_row
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.role_rules import (
    Holder,
    describe,
    ensure_authority,
    ensure_not_last_super_admin,
    ensure_not_oneself,
    ensure_present,
    find_grant,
    holder_filter,
    holder_row,
    lock_role,
    resolve_holder,
)


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
    ensure_authority(operator, found)
    holder = resolve_holder(operator, within, to, is_group=is_group)
    ensure_not_oneself(operator, holder)
    ensure_present(holder)
    if dry_run:
        return GrantRoleResult(
            found, holder, _decide_outcome(find_grant(found, holder)), dry_run=True
        )
    return _grant(operator, found, holder, now)


def _decide_outcome(there: RoleGrant | None) -> GrantOutcome:
    if there is None:
        return GrantOutcome.GRANTED
    return GrantOutcome.TAKEN_OVER if there.source == RoleSource.SCAIKEY else GrantOutcome.ALREADY


@transaction.atomic
def _grant(operator: Operator, found: Role, holder: Holder, now: datetime) -> GrantRoleResult:
    role = lock_role(found, now=now)
    outcome = _decide_outcome(find_grant(role, holder))
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


@dataclass(frozen=True)
class RevokeRoleResult:
    """`granted` says whether there was a grant to take; `still` are the ways by which a
    participant holds the role all the same."""

    role: Role
    holder: Holder
    granted: bool
    still: tuple[RoleAssignment, ...] = ()
    dry_run: bool = False

    @property
    def changed(self) -> bool:
        return self.granted and not self.dry_run

    @property
    def sentences(self) -> list[str]:
        return [self._told, *(self._remains(held) for held in self.still)]

    @property
    def _told(self) -> str:
        slug, who = self.role.slug, describe(self.holder)
        if not self.granted:
            return f"Role {slug} is not granted to {who}."
        return f"{'Would revoke' if self.dry_run else 'Revoked'} role {slug} from {who}."

    def _remains(self, held: RoleAssignment) -> str:
        return (
            f"{held.participant} still holds {self.role.slug} through {' > '.join(held.names)}, "
            f"granted by {held.grant.granted_by}."
        )

    def document(self) -> Row:
        document = {
            "role": role_row(self.role),
            **holder_row(self.holder),
            "changed": self.changed,
            "still_through": [held.names for held in self.still],
        }
        if self.dry_run:
            return {**document, "would_change": self.granted, "dry_run": True}
        return document


def revoke_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    of: str,
    is_group: bool,
    now: datetime,
    dry_run: bool = False,
) -> RevokeRoleResult:
    """Take back a role that was granted by hand to this participant or group itself.

    Taking what was not granted changes nothing. What a participant holds through a group is
    taken from the group, and what ScaiKey grants is taken in ScaiKey.

    Raises RoleNotFound, TenantNotFound, ParticipantNotFound, GroupNotFound, AmbiguousName,
    RoleFromScaiKey, SuperAdminOnly and LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_ROLES)
    within = resolve_tenant(operator, tenant)
    found = resolve_role(within, role)
    ensure_authority(operator, found)
    holder = resolve_holder(operator, within, of, is_group=is_group)
    if found._state.adding:  # Built in, and never granted.
        return RevokeRoleResult(found, holder, granted=False, dry_run=dry_run)
    # A plan alone takes no lock, and so needs nobody to wait.
    with nullcontext() if dry_run else transaction.atomic():
        if not dry_run:
            found = lock_role(found, now=now)
        grant = _find_manual_grant(found, holder)
        if grant is not None and not dry_run:
            _delete_grant(operator, grant, holder, now)
    still = _find_remaining(found, holder, besides=grant)
    return RevokeRoleResult(found, holder, grant is not None, still, dry_run=dry_run)


def _find_manual_grant(role: Role, holder: Holder) -> RoleGrant | None:
    """The grant that may be taken, if there is one."""
    if (grant := find_grant(role, holder)) is None:
        return None
    if grant.source == RoleSource.SCAIKEY:
        who = describe(holder, opens=True)
        raise RoleFromScaiKey(
            f"{who} has role {role.slug} from ScaiKey, not by hand.",
            fix="Take it from them in ScaiKey, then run `scaiwave sync`.",
        )
    ensure_not_last_super_admin(grant)
    return grant


def _delete_grant(operator: Operator, grant: RoleGrant, holder: Holder, now: datetime) -> None:
    record_audit(
        operator=operator,
        action="role revoke",
        subject=holder,
        tenant=grant.role.tenant,
        now=now,
        details={
            "role": grant.role.slug,
            "granted_by": grant.granted_by,
            "granted_at": grant.created_at.isoformat(),
        },
    )
    RoleGrant.objects.filter(pk=grant.pk).delete()


def _find_remaining(
    role: Role, holder: Holder, *, besides: RoleGrant | None
) -> tuple[RoleAssignment, ...]:
    if isinstance(holder, Group):
        return ()
    taken = besides.pk if besides else None
    held = [one for one in effective_roles(holder) if one.grant.role_id == role.pk]
    return tuple(one for one in held if one.grant.pk != taken)
