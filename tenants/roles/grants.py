"""Grant and revoke roles."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from django.db import transaction

from scaiwave.core.change import ChangeResult
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.errors import RoleFromScaiKey
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.models import Group, Role, RoleGrant, RoleSource
from tenants.roles.queries.roles import RoleAssignment, effective_roles, resolve_role, role_row
from tenants.roles.rules import (
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
    """`TAKEN_OVER` is a grant from ScaiKey that was converted to a manual one."""

    GRANTED = "granted"
    TAKEN_OVER = "taken_over"
    ALREADY = "already_granted"


@dataclass(frozen=True)
class GrantRoleResult(ChangeResult):
    """In a dry run, `outcome` is the expected outcome."""

    role: Role
    holder: Holder
    outcome: GrantOutcome
    dry_run: bool = False

    @property
    def changed(self) -> bool:
        return self.outcome is not GrantOutcome.ALREADY and not self.dry_run

    @property
    def lines(self) -> list[str]:
        return [self._format_outcome(), *self._format_notes()]

    def _format_outcome(self) -> str:
        slug, holder = self.role.slug, describe(self.holder, capitalise=True)
        if self.outcome is GrantOutcome.ALREADY:
            return f"{holder} already has role {slug} (manual grant)."
        if self.outcome is GrantOutcome.GRANTED:
            if self.dry_run:
                return f"Would grant role {slug} to {describe(self.holder)}."
            return f"Role {slug} granted to {describe(self.holder)}."
        from_scaikey = f"{holder} has role {slug} from ScaiKey"
        if self.dry_run:
            return f"{from_scaikey}; would convert it to a manual grant."
        return (
            f"{from_scaikey}; converted to a manual grant, which remains if ScaiKey removes its "
            "own."
        )

    def _format_notes(self) -> list[str]:
        tenant = self.role.tenant
        inactive = {
            str(self.holder): "" if isinstance(self.holder, Group) else self.holder.inactive_reason,
            f"tenant {tenant.slug}": tenant.inactive_reason,
        }
        return [
            f"The role has no effect while {name} is {reason}."
            for name, reason in inactive.items()
            if reason
        ]

    def document(self) -> Row:
        return {
            "role": role_row(self.role),
            **holder_row(self.holder),
            "outcome": self.outcome.value,
            "changed": self.outcome is not GrantOutcome.ALREADY,
        }


def grant_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    holder: str,
    is_group: bool,
    now: datetime,
    dry_run: bool = False,
) -> GrantRoleResult:
    """Grant a role manually to a participant, or to all members of a group.

    Nothing changes if there is a manual grant already. A grant from ScaiKey becomes a manual one:
    a role and a holder share one row, in which the manual grant takes precedence.

    Raises RoleNotFound, TenantNotFound, ParticipantNotFound, GroupNotFound, AmbiguousName,
    RoleHolderInactive, SuperAdminOnly and SelfElevation.
    """
    operator.require(Permission.MANAGE_ROLES)
    resolved_tenant = resolve_tenant(operator, tenant)
    resolved_role = resolve_role(operator, resolved_tenant, role)
    ensure_authority(operator, resolved_role)
    recipient = resolve_holder(operator, resolved_tenant, holder, is_group=is_group)
    ensure_not_oneself(operator, recipient)
    ensure_present(recipient)
    if dry_run:
        outcome = _decide_outcome(find_grant(resolved_role, recipient))
        return GrantRoleResult(resolved_role, recipient, outcome, dry_run=True)
    return _grant(operator, resolved_role, recipient, now)


def _decide_outcome(existing: RoleGrant | None) -> GrantOutcome:
    if existing is None:
        return GrantOutcome.GRANTED
    is_from_scaikey = existing.source == RoleSource.SCAIKEY
    return GrantOutcome.TAKEN_OVER if is_from_scaikey else GrantOutcome.ALREADY


@transaction.atomic
def _grant(operator: Operator, role: Role, holder: Holder, now: datetime) -> GrantRoleResult:
    role = lock_role(role, now=now)
    outcome = _decide_outcome(find_grant(role, holder))
    if outcome is GrantOutcome.ALREADY:
        return GrantRoleResult(role, holder, outcome)
    manual = {"source": RoleSource.MANUAL, "granted_by": operator.name, "created_at": now}
    RoleGrant.objects.update_or_create(
        role=role, **holder_filter(holder), defaults={"tenant": role.tenant, **manual}
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
class RevokeRoleResult(ChangeResult):
    """`granted` is true if there was a grant to revoke; `remaining` are the group grants
    through which a participant keeps the role."""

    role: Role
    holder: Holder
    granted: bool
    remaining: tuple[RoleAssignment, ...] = ()
    dry_run: bool = False

    @property
    def changed(self) -> bool:
        return self.granted and not self.dry_run

    @property
    def lines(self) -> list[str]:
        return [self._format_outcome(), *map(self._format_remaining, self.remaining)]

    def _format_outcome(self) -> str:
        slug, holder = self.role.slug, describe(self.holder)
        if not self.granted:
            return f"Role {slug} is not granted to {holder}; nothing changed."
        if self.dry_run:
            return f"Would revoke role {slug} from {holder}."
        return f"Role {slug} revoked from {holder}."

    def _format_remaining(self, assignment: RoleAssignment) -> str:
        return (
            f"{assignment.participant} still has role {self.role.slug} through "
            f"{' > '.join(assignment.names)}, granted by {assignment.grant.granted_by}."
        )

    def document(self) -> Row:
        return {
            "role": role_row(self.role),
            **holder_row(self.holder),
            "changed": self.granted,
            "remaining_paths": [assignment.names for assignment in self.remaining],
        }


def revoke_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    holder: str,
    is_group: bool,
    now: datetime,
    confirm: Callable[[str], None] | None = None,
    dry_run: bool = False,
) -> RevokeRoleResult:
    """Revoke a manual grant of a role to this participant or group itself.

    `confirm` is called with the question and raises unless the operator agrees. Nothing changes if
    there is no grant. What a participant has through a group must be revoked from
    the group, and what ScaiKey grants must be removed in ScaiKey.

    Raises RoleNotFound, TenantNotFound, ParticipantNotFound, GroupNotFound, AmbiguousName,
    RoleFromScaiKey, SuperAdminOnly and LastSuperAdmin.
    """
    operator.require(Permission.MANAGE_ROLES)
    resolved_tenant = resolve_tenant(operator, tenant)
    resolved_role = resolve_role(operator, resolved_tenant, role)
    ensure_authority(operator, resolved_role)
    grantee = resolve_holder(operator, resolved_tenant, holder, is_group=is_group)
    if resolved_role._state.adding:  # a built-in role that was never granted
        return RevokeRoleResult(resolved_role, grantee, granted=False, dry_run=dry_run)
    if confirm is not None and not dry_run and _find_manual_grant(resolved_role, grantee):
        confirm(f"This revokes role {resolved_role.slug} from {describe(grantee)}.")
    # A dry run takes no lock, so that no other command has to wait for it.
    with nullcontext() if dry_run else transaction.atomic():
        if not dry_run:
            resolved_role = lock_role(resolved_role, now=now)
        grant = _find_manual_grant(resolved_role, grantee)
        if grant is not None and not dry_run:
            _delete_grant(operator, grant, grantee, now)
    remaining = _find_remaining(resolved_role, grantee, revoked=grant)
    return RevokeRoleResult(
        resolved_role, grantee, grant is not None, remaining=remaining, dry_run=dry_run
    )


def _find_manual_grant(role: Role, holder: Holder) -> RoleGrant | None:
    """Return the grant that may be revoked. Raises RoleFromScaiKey and LastSuperAdmin."""
    if (grant := find_grant(role, holder)) is None:
        return None
    if grant.source == RoleSource.SCAIKEY:
        raise RoleFromScaiKey(
            f"{describe(holder, capitalise=True)} has role {role.slug} through ScaiKey, not "
            "through a manual grant.",
            fix="Remove the role from the holder in ScaiKey, then run `scaiwave sync`.",
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
    role: Role, holder: Holder, *, revoked: RoleGrant | None
) -> tuple[RoleAssignment, ...]:
    if isinstance(holder, Group):
        return ()
    revoked_id = revoked.pk if revoked else None
    return tuple(
        assignment
        for assignment in effective_roles(holder)
        if assignment.grant.role_id == role.pk and assignment.grant.pk != revoked_id
    )
