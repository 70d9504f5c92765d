"""Who can hold a role: a participant, or a group for everybody in it."""

from __future__ import annotations

from typing import Any

from scaiwave.auth.operators import Operator
from tenants.errors import RoleHolderInactive
from tenants.models import Group, Participant, Role, RoleGrant, Tenant
from tenants.queries.resolve import resolve_group, resolve_participant
from tenants.queries.serializers import Row, get_server_name, group_row, participant_row

Holder = Participant | Group


def resolve_holder(operator: Operator, tenant: Tenant, name: str, *, is_group: bool) -> Holder:
    """Raises ParticipantNotFound, GroupNotFound or AmbiguousName."""
    if is_group:
        return resolve_group(operator, name, tenant=tenant)
    return resolve_participant(operator, name, tenant=tenant)


def check_present(holder: Holder) -> None:
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
