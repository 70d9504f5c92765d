"""Who can hold a role: a participant, or a group for everybody in it."""

from __future__ import annotations

from typing import Any

from scaiwave.auth.operators import Operator
from tenants.errors import RoleHolderGone
from tenants.models import Group, Participant, Role, RoleGrant, Tenant
from tenants.queries.resolve import resolve_group, resolve_participant
from tenants.queries.serializers import Row, group_row, own_server_name, participant_row

Holder = Participant | Group


def resolve_holder(operator: Operator, tenant: Tenant, name: str, *, is_group: bool) -> Holder:
    """Raises ParticipantNotFound, GroupNotFound or AmbiguousName."""
    if is_group:
        return resolve_group(operator, name, tenant=tenant)
    return resolve_participant(operator, name, tenant=tenant)


def check_present(holder: Holder) -> None:
    """Raises `RoleHolderGone` for whom ScaiKey has no more: a grant would be a surprise later."""
    if holder.absent_since is not None:
        raise RoleHolderGone(f"{described(holder, opens=True)} is gone from ScaiKey.")


def described(holder: Holder, *, opens: bool = False) -> str:
    """In words, as they stand within a sentence or open one."""
    if isinstance(holder, Group):
        return f"{'Group' if opens else 'group'} {holder}"
    return f"{holder} ({holder.fqid(own_server_name())})"


def holder_row(holder: Holder) -> Row:
    """{"participant": …} or {"group": …}, as the list verbs say them."""
    if isinstance(holder, Group):
        return {"group": group_row(holder)}
    return {"participant": participant_row(holder, server_name=own_server_name())}


def key_of(holder: Holder) -> dict[str, Any]:
    """The column of a grant that names this holder."""
    return {"group" if isinstance(holder, Group) else "participant": holder}


def grant_to(role: Role, holder: Holder) -> RoleGrant | None:
    """The one grant of the role to this holder itself, if there is one."""
    if role._state.adding:
        return None
    grants = RoleGrant.objects.select_related("role", "participant", "group")
    return grants.filter(role=role, **key_of(holder)).first()
