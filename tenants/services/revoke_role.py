from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from scaiwave.auth.operators import Operator, Permission
from tenants.errors import RoleFromScaiKey
from tenants.models import Group, Role, RoleGrant, RoleSource
from tenants.queries.resolve import resolve_tenant
from tenants.queries.role_paths import RoleAssignment, effective_roles
from tenants.queries.roles import resolve_role, role_row
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.role_holders import (
    Holder,
    describe,
    find_grant,
    holder_row,
    resolve_holder,
)
from tenants.services.role_rules import check_authority, check_not_the_last, lock_role


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
    check_authority(operator, found)
    holder = resolve_holder(operator, within, of, is_group=is_group)
    if found._state.adding:  # Built in, and never granted.
        return RevokeRoleResult(found, holder, granted=False, dry_run=dry_run)
    # A plan alone takes no lock, and so needs nobody to wait.
    with nullcontext() if dry_run else transaction.atomic():
        if not dry_run:
            found = lock_role(found, now=now)
        grant = _grant_by_hand(found, holder)
        if grant is not None and not dry_run:
            _take(operator, grant, holder, now)
    still = _still_held(found, holder, besides=grant)
    return RevokeRoleResult(found, holder, grant is not None, still, dry_run=dry_run)


def _grant_by_hand(role: Role, holder: Holder) -> RoleGrant | None:
    """The grant that may be taken, if there is one."""
    if (grant := find_grant(role, holder)) is None:
        return None
    if grant.source == RoleSource.SCAIKEY:
        who = describe(holder, opens=True)
        raise RoleFromScaiKey(
            f"{who} has role {role.slug} from ScaiKey, not by hand.",
            fix="Take it from them in ScaiKey, then run `scaiwave sync`.",
        )
    check_not_the_last(grant)
    return grant


def _take(operator: Operator, grant: RoleGrant, holder: Holder, now: datetime) -> None:
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


def _still_held(
    role: Role, holder: Holder, *, besides: RoleGrant | None
) -> tuple[RoleAssignment, ...]:
    if isinstance(holder, Group):
        return ()
    taken = besides.pk if besides else None
    held = [one for one in effective_roles(holder) if one.grant.role_id == role.pk]
    return tuple(one for one in held if one.grant.pk != taken)
