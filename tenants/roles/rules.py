"""Rules that every change of role holders obeys, and the locks they need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet

from scaiwave.core.bulk import BulkRow, build_rows, count_names, list_some
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.core.sql import batched
from tenants.errors import (
    LastSuperAdmin,
    RoleForPeopleOnly,
    RoleHolderInactive,
    RoleNotFound,
    SelfElevation,
    SuperAdminOnly,
)
from tenants.lookup.group_nesting import restorable_groups
from tenants.lookup.resolve import look_up_group, look_up_participant, resolve_tenant
from tenants.lookup.serializers import Row, get_server_name, group_row, participant_row
from tenants.models import Group, Participant, ParticipantType, Partner, Role, RoleGrant, Tenant
from tenants.roles.queries.roles import BUILT_IN, SUPER_ADMIN
from tenants.roles.queries.super_admins import (
    GRANT_COMMAND,
    SuperAdmins,
    count_super_admins,
    find_super_admin_holders,
)

Holder = Participant | Group
"""A participant, or a group whose members all get the role."""


def find_holders(
    operator: Operator, tenant: str | None, names: Sequence[str], *, is_group: bool
) -> tuple[Tenant, list[BulkRow[Any]]]:
    """Return the tenant, and a row with the participant or group of each name, or with its error.

    Without the name of a tenant, it is the only tenant of the holders. Raises `TenantNotFound`,
    `UsageError` for several tenants, or the first row's error if no name is found.
    """
    resolved = resolve_tenant(operator, tenant) if tenant is not None else None
    look_up = look_up_group if is_group else look_up_participant
    found: Mapping[str, Any] = look_up(operator, tenant=resolved).find_each(names)
    rows = build_rows(found)
    if resolved is not None:
        return resolved, rows
    tenants = {row.record.tenant for row in rows if row.record}
    if not tenants and rows[0].error:
        raise rows[0].error
    if len(tenants) > 1:
        slugs = sorted(each.slug for each in tenants)
        raise UsageError(
            f"The names are in several tenants: {list_some(slugs)}.",
            fix="Run the command once for each tenant, with --tenant <slug>.",
        )
    return tenants.pop(), rows


def describe(holder: Holder, *, capitalise: bool = False) -> str:
    """Return a text such as `group Backend` or `Anna (@anna:chat.example.com)`."""
    if isinstance(holder, Group):
        return f"{'Group' if capitalise else 'group'} {holder}"
    return f"{holder} ({holder.fqid(get_server_name())})"


def describe_holders(holders: Sequence[Holder]) -> str:
    if len(holders) == 1:
        return describe(holders[0])
    if isinstance(holders[0], Group):
        return count_names("group", list(map(str, holders)))
    return count_names("participant", list(map(describe, holders)))


def holder_row(holder: Holder) -> Row:
    """Return {"participant": …} or {"group": …}, as list commands print them."""
    if isinstance(holder, Group):
        return {"group": group_row(holder)}
    return {"participant": participant_row(holder, server_name=get_server_name())}


def holder_filter(holder: Holder) -> dict[str, Any]:
    """Return the column of a grant that references this holder, with its value."""
    return {"group" if isinstance(holder, Group) else "participant": holder}


def find_grants(role: Role, holders: Sequence[Holder]) -> dict[UUID, RoleGrant]:
    """Return the grants of the role to these holders themselves, not through groups, by holder."""
    if role._state.adding:
        return {}
    found: dict[UUID, RoleGrant] = {}
    for batch in batched(holders):
        grants = filter_holders(role, batch)
        found |= {grant.group_id or cast(UUID, grant.participant_id): grant for grant in grants}
    return found


def filter_holders(role: Role, holders: Sequence[Holder]) -> QuerySet[RoleGrant]:
    is_group = bool(holders) and isinstance(holders[0], Group)
    keys = {f"{'group' if is_group else 'participant'}__in": [holder.pk for holder in holders]}
    return RoleGrant.objects.filter(role=role, **keys)


def ensure_present(holder: Holder) -> None:
    """Raises `RoleHolderInactive` if the holder was removed from ScaiKey."""
    if holder.absent_since is not None:
        raise RoleHolderInactive(f"{describe(holder, capitalise=True)} was removed from ScaiKey.")


def ensure_person(role: Role, holder: Holder) -> None:
    """Raises `RoleForPeopleOnly` for an administrator's role; members of groups are people."""
    if role.slug not in BUILT_IN or isinstance(holder, Group):
        return
    if holder.participant_type != ParticipantType.HUMAN:
        raise RoleForPeopleOnly(
            f"{describe(holder)} is an account of type {holder.participant_type}, and can't have "
            f"role {role.slug}."
        )


def ensure_authority(operator: Operator, role: Role) -> None:
    """Raises `SuperAdminOnly` if a lesser operator would grant or revoke super_admin."""
    if role.slug != SUPER_ADMIN or operator.role in (OperatorRole.HOST, OperatorRole.SUPER_ADMIN):
        return
    raise build_super_admin_only_error(operator, "grant or revoke")


def build_super_admin_only_error(operator: Operator, act: str) -> SuperAdminOnly:
    return SuperAdminOnly(f"{operator.name} ({operator.role.value}) can't {act} {SUPER_ADMIN}.")


def ensure_not_oneself(operator: Operator, holder: Holder) -> None:
    """Raises `SelfElevation` if the operator is this participant, or a member of this group.

    Membership counts through groups that are removed from ScaiKey too, since they can come back.
    The host operator and a platform's token are not participants.
    """
    if not operator.subject:
        return
    if isinstance(holder, Participant):
        is_reached = holder.scaikey_id == operator.subject
    else:
        accounts = Participant.objects.filter(tenant=holder.tenant_id, scaikey_id=operator.subject)
        is_reached = any(holder.pk in restorable_groups(person) for person in accounts)
    if is_reached:
        relation = "is" if isinstance(holder, Participant) else "is in"
        raise SelfElevation(
            f"You can't grant a role to yourself: {operator.name} {relation} {describe(holder)}."
        )


def ensure_not_last_super_admin(role: Role, grants: Collection[RoleGrant]) -> None:
    """Raises `LastSuperAdmin` if revoking these grants leaves no active super_admin in an active
    tenant, or none who can sign in. Call it with the roles locked."""
    if role.slug != SUPER_ADMIN:
        return
    if loss := count_super_admins().describe_loss(count_super_admins(excluding=grants)):
        raise _build_last_super_admin_error(
            loss, fix=f"Grant {SUPER_ADMIN} to another person first."
        )


def find_protected_people(operator: Operator) -> set[UUID]:
    """Return the super_admins, if a lesser operator may not suspend or resume them."""
    if operator.role in (OperatorRole.HOST, OperatorRole.SUPER_ADMIN):
        return set()
    return find_super_admin_holders()


def ensure_super_admin_remains(entities: Sequence[Tenant] | Sequence[Participant]) -> None:
    """Raises `LastSuperAdmin` if deactivating these tenants or people leaves no super_admin.

    Call it with the super_admin roles locked, so that the answer stays true.
    """
    _ensure_not_lost(count_super_admins(excluding=entities), entities)


def ensure_super_admin_can_sign_in(*, without: Sequence[Tenant] | Sequence[Partner]) -> None:
    """Raises `LastSuperAdmin` if unlinking tenants, or suspending partners, leaves no super_admin
    who can sign in.

    The people concerned stay active. Call it with the super_admin roles locked.
    """
    able = count_super_admins(excluding=without).able
    _ensure_not_lost(SuperAdmins(active=count_super_admins().active, able=able), without)


def _ensure_not_lost(
    after: SuperAdmins, entities: Sequence[Partner] | Sequence[Tenant] | Sequence[Participant]
) -> None:
    if loss := count_super_admins().describe_loss(after):
        others = {Partner: "a person of another partner", Tenant: "a person of another tenant"}
        other = others.get(type(entities[0]), "another person")
        raise _build_last_super_admin_error(
            loss,
            fix=f"Grant it to {other} first: {GRANT_COMMAND}.",
            without=_name_holders(entities) if len(entities) > 1 else "",
        )


def _name_holders(
    entities: Sequence[Partner] | Sequence[Tenant] | Sequence[Participant],
) -> str:
    """Return the names of each that is, or has, a super_admin."""
    people = Participant.objects.filter(pk__in=find_super_admin_holders())
    ids = {key for keys in people.values_list("pk", "tenant", "tenant__partner") for key in keys}
    found = [
        describe(each) if isinstance(each, Participant) else str(each)
        for each in entities
        if each.pk in ids
    ]
    return f" without {list_some(found)}"


def _build_last_super_admin_error(loss: str, *, fix: str, without: str = "") -> LastSuperAdmin:
    return LastSuperAdmin(f"{loss.capitalize()} would remain{without}.", fix=fix)


def lock_role(role: Role, *, now: datetime) -> Role:
    """Lock the role until the transaction ends, and give a built-in role its row.

    super_admin is locked for the whole platform, because the last super_admin is counted there.
    Raises `RoleNotFound` if the role was deleted concurrently.
    """
    if role._state.adding:
        defaults = {"name": role.name, "is_built_in": True, "created_at": now}
        role, _ = Role.objects.get_or_create(tenant=role.tenant, slug=role.slug, defaults=defaults)
    if role.slug == SUPER_ADMIN:
        lock_super_admins()
        return Role.objects.get(pk=role.pk)
    if locked := Role.objects.select_for_update().filter(pk=role.pk).first():
        return locked
    raise RoleNotFound(f"Role {role.slug} was deleted by another command.")


def lock_super_admins() -> None:
    """Lock every super_admin role, so that no other command changes its holders.

    A sync grants roles while it holds locks on tenants. It does not wait for this lock, so the two
    can't deadlock.
    """
    locked = Role.objects.select_for_update(no_key=True).filter(slug=SUPER_ADMIN)
    list(locked.order_by("pk"))
