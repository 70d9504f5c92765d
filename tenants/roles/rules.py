"""Rules that every change of role holders obeys, and the locks they need."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from scaiwave.core.operators import Operator, OperatorRole
from tenants.errors import (
    LastSuperAdmin,
    RoleHolderInactive,
    RoleNotFound,
    SelfElevation,
    SuperAdminOnly,
)
from tenants.lookup.group_nesting import restorable_groups
from tenants.lookup.resolve import resolve_group, resolve_participant
from tenants.lookup.serializers import Row, get_server_name, group_row, participant_row
from tenants.models import Group, Participant, Partner, Role, RoleGrant, Tenant
from tenants.roles.queries.roles import SUPER_ADMIN, effective_roles
from tenants.roles.queries.super_admins import GRANT_COMMAND, SuperAdmins, count_super_admins

Holder = Participant | Group
"""A participant, or a group whose members all get the role."""


def resolve_holder(operator: Operator, tenant: Tenant, name: str, *, is_group: bool) -> Holder:
    """Raises ParticipantNotFound, GroupNotFound or AmbiguousName."""
    if is_group:
        return resolve_group(operator, name, tenant=tenant)
    return resolve_participant(operator, name, tenant=tenant)


def describe(holder: Holder, *, capitalise: bool = False) -> str:
    """Return a text such as `group Backend` or `Anna (@anna:chat.example.com)`."""
    if isinstance(holder, Group):
        return f"{'Group' if capitalise else 'group'} {holder}"
    return f"{holder} ({holder.fqid(get_server_name())})"


def holder_row(holder: Holder) -> Row:
    """Return {"participant": …} or {"group": …}, as list commands print them."""
    if isinstance(holder, Group):
        return {"group": group_row(holder)}
    return {"participant": participant_row(holder, server_name=get_server_name())}


def holder_filter(holder: Holder) -> dict[str, Any]:
    """Return the column of a grant that references this holder, with its value."""
    return {"group" if isinstance(holder, Group) else "participant": holder}


def find_grant(role: Role, holder: Holder) -> RoleGrant | None:
    """Return the grant of the role to this holder itself, not through a group."""
    if role._state.adding:
        return None
    grants = RoleGrant.objects.select_related("role", "participant", "group")
    return grants.filter(role=role, **holder_filter(holder)).first()


def ensure_present(holder: Holder) -> None:
    """Raises `RoleHolderInactive` if the holder was removed from ScaiKey."""
    if holder.absent_since is not None:
        raise RoleHolderInactive(f"{describe(holder, capitalise=True)} was removed from ScaiKey.")


def ensure_authority(operator: Operator, role: Role) -> None:
    """Raises `SuperAdminOnly` if a lesser operator would grant or revoke super_admin."""
    if role.slug != SUPER_ADMIN or operator.role in (OperatorRole.HOST, OperatorRole.SUPER_ADMIN):
        return
    raise SuperAdminOnly(
        f"{operator.name} ({operator.role.value}) can't grant or revoke {SUPER_ADMIN}."
    )


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


def ensure_not_last_super_admin(grant: RoleGrant) -> None:
    """Raises `LastSuperAdmin` if revoking this grant leaves no active super_admin in an active
    tenant, or none who can sign in. Call it with the roles locked."""
    if grant.role.slug != SUPER_ADMIN:
        return
    if loss := count_super_admins().describe_loss(count_super_admins(excluding=grant)):
        raise _build_last_super_admin_error(
            loss, fix=f"Grant {SUPER_ADMIN} to another person first."
        )


def ensure_may_change_access(operator: Operator, person: Participant) -> None:
    """Raises `SuperAdminOnly` if a lesser operator would suspend or resume a super_admin."""
    if operator.role in (OperatorRole.HOST, OperatorRole.SUPER_ADMIN):
        return
    if any(assignment.grant.role.slug == SUPER_ADMIN for assignment in effective_roles(person)):
        raise SuperAdminOnly(
            f"{operator.name} ({operator.role.value}) can't suspend or resume a {SUPER_ADMIN}."
        )


def ensure_super_admin_remains(entity: Tenant | Participant) -> None:
    """Raises `LastSuperAdmin` if deactivating this tenant or person leaves no super_admin.

    Call it with the super_admin roles locked, so that the answer stays true.
    """
    _ensure_not_lost(count_super_admins(excluding=entity), entity)


def ensure_super_admin_can_sign_in(*, without: Tenant | Partner) -> None:
    """Raises `LastSuperAdmin` if unlinking this tenant, or suspending this partner, leaves no
    super_admin who can sign in.

    The people concerned stay active. Call it with the super_admin roles locked.
    """
    able = count_super_admins(excluding=without).able
    _ensure_not_lost(SuperAdmins(active=count_super_admins().active, able=able), without)


def _ensure_not_lost(after: SuperAdmins, entity: Partner | Tenant | Participant) -> None:
    if loss := count_super_admins().describe_loss(after):
        others = {Partner: "a person of another partner", Tenant: "a person of another tenant"}
        other = others.get(type(entity), "another person")
        raise _build_last_super_admin_error(
            loss, fix=f"Grant it to {other} first: {GRANT_COMMAND}."
        )


def _build_last_super_admin_error(loss: str, *, fix: str) -> LastSuperAdmin:
    return LastSuperAdmin(f"{loss.capitalize()} would remain.", fix=fix)


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
