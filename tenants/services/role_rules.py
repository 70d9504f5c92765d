"""Who may give and take which role, besides what a permission says."""

from __future__ import annotations

from datetime import datetime

from scaiwave.auth.operators import Operator
from scaiwave.auth.operators import Role as OperatorRole
from tenants.errors import LastSuperAdmin, RoleNotFound, SelfElevation, SuperAdminOnly
from tenants.models import Participant, Role, RoleGrant
from tenants.queries.group_nesting import restorable_groups
from tenants.queries.roles import SUPER_ADMIN
from tenants.queries.super_admins import count_super_admins
from tenants.services.role_holders import Holder, describe


def check_authority(operator: Operator, role: Role) -> None:
    """Raises `SuperAdminOnly` when somebody lesser would give or take super_admin."""
    if role.slug != SUPER_ADMIN or operator.role in (OperatorRole.HOST, OperatorRole.SUPER_ADMIN):
        return
    raise SuperAdminOnly(
        f"{operator.name} ({operator.role.value}) may not grant or revoke {SUPER_ADMIN}."
    )


def check_not_oneself(operator: Operator, holder: Holder) -> None:
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


def check_not_the_last(grant: RoleGrant) -> None:
    """Raises `LastSuperAdmin` if without this grant nobody active, in an active tenant, would be
    super_admin, or nobody who can sign in. Call it with the roles locked."""
    if grant.role.slug != SUPER_ADMIN:
        return
    if nobody := count_super_admins().lost(count_super_admins(besides=grant)):
        raise last_super_admin(nobody, fix=f"Grant {SUPER_ADMIN} to somebody else first.")


def last_super_admin(nobody: str, *, fix: str) -> LastSuperAdmin:
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
