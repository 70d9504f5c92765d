"""Grant and revoke roles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, cast
from uuid import UUID

from scaiwave.core.bulk import BulkResult, change_rows
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.errors import RoleFromScaiKey
from tenants.lookup.validators import validate_reason
from tenants.models import Group, Participant, Role, RoleGrant, RoleSource, Tenant
from tenants.roles.queries.roles import (
    BUILT_IN,
    RoleAssignment,
    effective_roles,
    resolve_role,
    role_holders,
    role_row,
)
from tenants.roles.rules import (
    Holder,
    describe,
    describe_holders,
    ensure_authority,
    ensure_not_last_super_admin,
    ensure_not_oneself,
    ensure_person,
    ensure_present,
    filter_holders,
    find_grants,
    find_holders,
    holder_filter,
    holder_row,
    lock_role,
)


class GrantOutcome(Enum):
    """`TAKEN_OVER` is a grant from ScaiKey that was converted to a manual one."""

    GRANTED = "granted"
    TAKEN_OVER = "taken_over"
    ALREADY = "already_granted"


_GRANTS = {
    GrantOutcome.GRANTED: ChangeWords(
        "role",
        "Would grant role {slug} to {holder}.",
        "Role {slug} granted to {holder}.",
        counted="granted to {count}",
    ),
    GrantOutcome.TAKEN_OVER: ChangeWords(
        "role",
        "{Holder} has role {slug} from ScaiKey; would convert it to a manual grant.",
        "{Holder} has role {slug} from ScaiKey; converted to a manual grant, which remains if "
        "ScaiKey removes its own.",
        counted="converted to a manual grant for {count}",
    ),
    GrantOutcome.ALREADY: ChangeWords(
        "role",
        "",
        "",
        "{Holder} already has role {slug} (manual grant).",
        counted_same="already granted to {count}",
    ),
}
_REVOCATION = ChangeWords(
    "role",
    "Would revoke role {slug} from {holder}.",
    "Role {slug} revoked from {holder}.",
    "Role {slug} is not granted to {holder}; nothing changed.",
    "revoked from {count}{but}",
    "not granted to {count}{but}",
)


def _build_grant(
    role: Role, holder: Holder, existing: RoleGrant | None, *, dry_run: bool = False
) -> Change:
    """Return the result, in a dry run the expected one, for the grant that existed before."""
    outcome = _decide_outcome(existing)
    is_change = outcome is not GrantOutcome.ALREADY
    inactive = {
        describe(holder): "" if isinstance(holder, Group) else holder.inactive_reason,
        f"tenant {role.tenant.slug}": role.tenant.inactive_reason,
    }
    return Change(
        _GRANTS[outcome],
        role_row(role),
        is_change and not dry_run,
        is_change and dry_run,
        names={"holder": describe(holder), "Holder": describe(holder, capitalise=True)},
        rest={**holder_row(holder), "outcome": outcome.value},
        notes=[
            f"The role has no effect while {name} is {reason}."
            for name, reason in inactive.items()
            if reason
        ],
    )


def grant_role(*, holder: str, **options: Any) -> Change:
    """Grant a role to one as `grant_role_to_many` does, and raise its error."""
    return cast(Change, grant_role_to_many(holders=[holder], **options).get_only())


def grant_role_to_many(
    *,
    operator: Operator,
    role: str,
    tenant: str | None = None,
    holders: Sequence[str],
    is_group: bool,
    now: datetime,
    reason: str = "",
    confirm: Callable[[str], None] = lambda question: None,
    dry_run: bool = False,
) -> BulkResult:
    """Grant a role manually to participants, or to all members of groups.

    All are checked first: if one can't have the role, nothing is changed. Nothing changes for a
    manual grant that exists. A grant from ScaiKey becomes a manual one: a role and a holder share
    one row, and the manual grant takes precedence. Without `tenant` it is the holders' own.
    `confirm` gets the question before several get a role, or one an administrator's; it raises if
    the answer is not yes.

    Raises RoleNotFound, TenantNotFound, SuperAdminOnly and InvalidName; rows have
    ParticipantNotFound, GroupNotFound, AmbiguousName, RoleHolderInactive, RoleForPeopleOnly or
    SelfElevation.
    """
    operator.require(Permission.MANAGE_ROLES)
    validate_reason(reason)
    holders_tenant, rows = find_holders(operator, tenant, holders, is_group=is_group)
    resolved_role = _resolve_role(operator, holders_tenant, role)
    found = [row.record for row in rows if row.record is not None]
    existing = find_grants(resolved_role, found)

    def check(holder: Holder) -> Change | None:
        ensure_not_oneself(operator, holder)
        ensure_present(holder)
        ensure_person(resolved_role, holder)
        grant = existing.get(holder.pk)
        is_done = _decide_outcome(grant) is GrantOutcome.ALREADY
        return _build_grant(resolved_role, holder, grant) if is_done else None

    def ask(records: Sequence[Holder]) -> None:
        if len(records) > 1 or resolved_role.slug in BUILT_IN:
            confirm(f"This grants role {resolved_role.slug} to {describe_holders(records)}.")

    change_rows(
        rows,
        check=check,
        check_all=lambda records: None,
        preview=lambda holder: _build_grant(
            resolved_role, holder, existing.get(holder.pk), dry_run=True
        ),
        confirm=ask,
        write=lambda records: _grant(operator, resolved_role, records, now, reason),
        dry_run=dry_run,
    )
    kind = "group" if is_group else "participant"
    return BulkResult(rows, {"role": None, kind: None, "outcome": None})


def _resolve_role(operator: Operator, tenant: Tenant, name: str) -> Role:
    role = resolve_role(operator, tenant, name)
    ensure_authority(operator, role)
    return role


def _decide_outcome(existing: RoleGrant | None) -> GrantOutcome:
    if existing is None:
        return GrantOutcome.GRANTED
    is_from_scaikey = existing.source == RoleSource.SCAIKEY
    return GrantOutcome.TAKEN_OVER if is_from_scaikey else GrantOutcome.ALREADY


def _grant(
    operator: Operator, role: Role, holders: Sequence[Holder], now: datetime, reason: str
) -> list[Change]:
    role = lock_role(role, now=now)
    existing = find_grants(role, holders)
    manual = {"source": RoleSource.MANUAL, "granted_by": operator.name, "created_at": now}
    changed, results = [], []
    for holder in holders:
        outcome = _decide_outcome(existing.get(holder.pk))
        results.append(_build_grant(role, holder, existing.get(holder.pk)))
        if outcome is GrantOutcome.ALREADY:
            continue
        changed.append(holder)
        details = {"role": role.slug, "outcome": outcome.value, "reason": reason}
        record_audit(operator, "role grant", holder, now, details, tenant=role.tenant)
    # A sync may grant the same at this moment: then its row becomes a manual one too.
    new = [
        RoleGrant(role=role, tenant=role.tenant, **holder_filter(each), **manual)
        for each in changed
    ]
    RoleGrant.objects.bulk_create(new, ignore_conflicts=True)
    filter_holders(role, changed).update(tenant=role.tenant, **manual)
    return results


def revoke_role(*, holder: str, **options: Any) -> Change:
    """Revoke a role from one as `revoke_role_from_many` does, and raise its error."""
    return cast(Change, revoke_role_from_many(holders=[holder], **options).get_only())


def revoke_role_from_many(
    *,
    operator: Operator,
    role: str,
    tenant: str | None = None,
    holders: Sequence[str],
    is_group: bool,
    now: datetime,
    reason: str = "",
    confirm: Callable[[str], None] = lambda question: None,
    dry_run: bool = False,
) -> BulkResult:
    """Revoke manual grants of a role to these participants or groups themselves.

    All are checked first: if one grant can't be revoked, nothing is changed. `confirm` is called
    with the question and raises unless the operator agrees. Nothing changes without a grant. What a
    participant has through a group must be revoked from the group, and what ScaiKey grants must be
    removed in ScaiKey. Without `tenant` it is the holders' own.

    Raises RoleNotFound, TenantNotFound, SuperAdminOnly, LastSuperAdmin and InvalidName; rows have
    ParticipantNotFound, GroupNotFound, AmbiguousName or RoleFromScaiKey.
    """
    operator.require(Permission.MANAGE_ROLES)
    validate_reason(reason)
    holders_tenant, rows = find_holders(operator, tenant, holders, is_group=is_group)
    resolved_role = _resolve_role(operator, holders_tenant, role)
    found = [row.record for row in rows if row.record is not None]
    grants = find_grants(resolved_role, found)
    remaining = _find_remaining(resolved_role, found)

    def build_result(holder: Holder, *, granted: bool) -> Change:
        paths = remaining.get(holder.pk, ())
        return _build_revocation(resolved_role, holder, paths, granted=granted, dry_run=dry_run)

    def check(holder: Holder) -> Change | None:
        grant = grants.get(holder.pk)
        if grant is None:
            return build_result(holder, granted=False)
        _ensure_manual(resolved_role, grant, holder)
        return None

    def write(records: Sequence[Holder]) -> list[Change]:
        present = _delete_grants(operator, lock_role(resolved_role, now=now), records, now, reason)
        return [build_result(holder, granted=holder.pk in present) for holder in records]

    change_rows(
        rows,
        check=check,
        check_all=lambda records: ensure_not_last_super_admin(
            resolved_role, [grants[holder.pk] for holder in records]
        ),
        preview=lambda holder: build_result(holder, granted=True),
        confirm=lambda records: confirm(
            f"This revokes role {resolved_role.slug} from {describe_holders(records)}."
        ),
        write=write,
        dry_run=dry_run,
    )
    kind = "group" if is_group else "participant"
    return BulkResult(rows, {"role": None, kind: None, "remaining_paths": []})


def _delete_grants(
    operator: Operator, role: Role, holders: Sequence[Holder], now: datetime, reason: str
) -> set[UUID]:
    """Delete the grants of a locked role, and return the keys of the holders that had one."""
    present = find_grants(role, holders)
    for holder in holders:
        if grant := present.get(holder.pk):
            _ensure_manual(role, grant, holder)
            details = {
                "role": role.slug,
                "granted_by": grant.granted_by,
                "granted_at": grant.created_at.isoformat(),
                "reason": reason,
            }
            record_audit(operator, "role revoke", holder, now, details, tenant=role.tenant)
    ensure_not_last_super_admin(role, list(present.values()))
    RoleGrant.objects.filter(pk__in=[grant.pk for grant in present.values()]).delete()
    return set(present)


def _build_revocation(
    role: Role, holder: Holder, paths: Sequence[RoleAssignment], *, granted: bool, dry_run: bool
) -> Change:
    """Return the result for a holder, who has the role through `paths` still."""
    but = ", who still have it through a group" if paths else ""
    return Change(
        _REVOCATION,
        role_row(role),
        granted and not dry_run,
        granted and dry_run,
        names={"holder": describe(holder), "but": but},
        rest={**holder_row(holder), "remaining_paths": [each.names for each in paths]},
        notes=[
            f"{describe(each.participant)} still has role {role.slug} through "
            f"{' > '.join(each.names)}, granted by {each.grant.granted_by}."
            for each in paths
        ],
    )


def _ensure_manual(role: Role, grant: RoleGrant, holder: Holder) -> None:
    if grant.source == RoleSource.SCAIKEY:
        raise RoleFromScaiKey(
            f"{describe(holder, capitalise=True)} has role {role.slug} through ScaiKey, not "
            "through a manual grant.",
            fix="Remove the role from the holder in ScaiKey, then run `scaiwave sync`.",
        )


def _find_remaining(
    role: Role, holders: Sequence[Holder]
) -> dict[UUID, tuple[RoleAssignment, ...]]:
    """Return the grants to groups through which each participant has the role."""
    people = {holder.pk: holder for holder in holders if isinstance(holder, Participant)}
    if not RoleGrant.objects.filter(role__pk=role.pk, group__isnull=False).exists():
        return {}
    # The groups of one person are few. For many people, all holders are read once.
    is_single = len(people) == 1
    reached = effective_roles(*people.values()) if is_single else role_holders(role)
    found: defaultdict[UUID, list[RoleAssignment]] = defaultdict(list)
    for assignment in reached:
        key = assignment.participant.pk
        if assignment.grant.role_id == role.pk and assignment.path and key in people:
            found[key].append(assignment)
    return {key: tuple(assignments) for key, assignments in found.items()}
