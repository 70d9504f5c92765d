"""Who may give and take which role, besides what a permission says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from scaiwave.auth.operators import Operator
from scaiwave.auth.operators import Role as OperatorRole
from tenants.errors import (
    LastSuperAdmin,
    RoleHolderInactive,
    RoleNotFound,
    SelfElevation,
    SuperAdminOnly,
)
from tenants.models import Group, Participant, Role, RoleGrant, Tenant
from tenants.queries.group_nesting import restorable_groups
from tenants.queries.resolve import resolve_group, resolve_participant
from tenants.queries.roles import SUPER_ADMIN
from tenants.queries.serializers import Row, get_server_name, group_row, participant_row
from tenants.queries.super_admins import GRANT_COMMAND, SuperAdmins, count_super_admins

Holder = Participant | Group


def resolve_holder(operator: Operator, tenant: Tenant, name: str, *, is_group: bool) -> Holder:
    """Raises ParticipantNotFound, GroupNotFound or AmbiguousName."""
    if is_group:
        return resolve_group(operator, name, tenant=tenant)
    return resolve_participant(operator, name, tenant=tenant)


def ensure_present(holder: Holder) -> None:
    """Refuse a holder that ScaiKey no longer has. Raises `RoleHolderInactive`."""
    if holder.absent_since is not None:
        raise RoleHolderInactive(f"{describe(holder, opens=True)} is gone from ScaiKey.")


def describe(holder: Holder, *, opens: bool = False) -> str:
    """In words, as they stand within a sentence or open one."""
    if isinstance(holder, Group):
        return f"{'Group' if opens else 'group'} {holder}"
    return f"{holder} ({holder.fqid(get_server_name())})"


def holder_row(holder: Holder) -> Row:
    """{"participant": …} or {"group": …}, as the list verbs say them."""
    if isinstance(holder, Group):
        return {"group": group_row(holder)}
    return {"participant": participant_row(holder, server_name=get_server_name())}


def holder_filter(holder: Holder) -> dict[str, Any]:
    """The column of a grant that names this holder."""
    return {"group" if isinstance(holder, Group) else "participant": holder}


def find_grant(role: Role, holder: Holder) -> RoleGrant | None:
    """The one grant of the role to this holder itself, if there is one."""
    if role._state.adding:
        return None
    grants = RoleGrant.objects.select_related("role", "participant", "group")
    return grants.filter(role=role, **holder_filter(holder)).first()


def ensure_authority(operator: Operator, role: Role) -> None:
    """Raises `SuperAdminOnly` when somebody lesser would give or take super_admin."""
    if role.slug != SUPER_ADMIN or operator.role in (OperatorRole.HOST, OperatorRole.SUPER_ADMIN):
        return
    raise SuperAdminOnly(
        f"{operator.name} ({operator.role.value}) may not grant or revoke {SUPER_ADMIN}."
    )


def ensure_not_oneself(operator: Operator, holder: Holder) -> None:
    """Raises `SelfElevation` when the operator is this participant, or is in this group, also by
    way of groups that are gone for now.

    The host operator is nobody of the platform, and a platform's token is no person.
    """
    if not operator.subject:
        return
    if isinstance(holder, Participant):
        reached = holder.scaikey_id == operator.subject
    else:
        themselves = Participant.objects.filter(
            tenant=holder.tenant_id, scaikey_id=operator.subject
        )
        reached = any(holder.pk in restorable_groups(person) for person in themselves)
    if reached:
        inside = "" if isinstance(holder, Participant) else "in "
        raise SelfElevation(
            f"Nobody grants a role to themselves, and {operator.name} is "
            f"{inside}{describe(holder)}."
        )


def ensure_not_last_super_admin(grant: RoleGrant) -> None:
    """Raises `LastSuperAdmin` if without this grant nobody active, in an active tenant, would be
    super_admin, or nobody who can sign in. Call it with the roles locked."""
    if grant.role.slug != SUPER_ADMIN:
        return
    if nobody := count_super_admins().lost(count_super_admins(besides=grant)):
        raise build_last_super_admin_error(
            nobody, fix=f"Grant {SUPER_ADMIN} to somebody else first."
        )


def build_last_super_admin_error(nobody: str, *, fix: str) -> LastSuperAdmin:
    return LastSuperAdmin(f"{nobody.capitalize()} would be {SUPER_ADMIN} any more.", fix=fix)


def lock_role(role: Role, *, now: datetime) -> Role:
    """Let nobody else grant, revoke or delete the role until the transaction ends; a built-in
    role gets its row. Raises `RoleNotFound` when it was deleted meanwhile.

    super_admin is locked on the whole platform, since who is the last of them is too.
    """
    if role._state.adding:
        defaults = {"name": role.name, "is_built_in": True, "created_at": now}
        role, _ = Role.objects.get_or_create(tenant=role.tenant, slug=role.slug, defaults=defaults)
    if role.slug == SUPER_ADMIN:
        lock_super_admins()
        return Role.objects.get(pk=role.pk)
    if locked := Role.objects.select_for_update().filter(pk=role.pk).first():
        return locked
    raise RoleNotFound(f"The role {role.slug!r} was deleted meanwhile.")


def lock_super_admins() -> None:
    """Let no other act by hand change who is super_admin until the transaction ends.

    A sync, which grants while it holds tenants, needs not wait: so neither can wait for the other.
    """
    locked = Role.objects.select_for_update(no_key=True).filter(slug=SUPER_ADMIN)
    list(locked.order_by("pk"))


def ensure_super_admin_remains(tenant: Tenant) -> None:
    """Raises `LastSuperAdmin` if nobody would be super_admin once this tenant is not active.

    To be sure of it, call it with the super_admins locked.
    """
    _ensure_not_lost(count_super_admins(besides=tenant))


def ensure_super_admin_remains_after_unlink(tenant: Tenant) -> None:
    """Raises `LastSuperAdmin` if nobody who is super_admin could sign in once ScaiKey's hands are
    off this tenant; its people stay active. Lock the super_admins here too."""
    _ensure_not_lost(
        SuperAdmins(
            active=count_super_admins().active, able=count_super_admins(besides=tenant).able
        )
    )


def _ensure_not_lost(after: SuperAdmins) -> None:
    if nobody := count_super_admins().lost(after):
        raise build_last_super_admin_error(
            nobody, fix=f"Grant it to somebody of another tenant first: {GRANT_COMMAND}."
        )
