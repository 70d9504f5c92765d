"""Which changes of a sync are a loss of access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q

from identity_sync.models import SyncChange
from identity_sync.reasons import ENDED, SUSPENSIONS, Loss, Reason
from tenants.models.directory import ACTIVE_STATUSES


def build_candidate_q(loss: Loss | None) -> Q:
    """Match the changes that may be such a loss; `find_losses` decides by their values."""
    conditions = [
        Q(kind=kind, action=action)
        for (kind, action), each in ENDED.items()
        if loss in (None, each)
    ]
    conditions += [
        Q(kind=kind, action="update", fields__contains="scaikey_status")
        for kind, each in SUSPENSIONS.items()
        if loss in (None, each)
    ]
    if loss in (None, Loss.ROLE_TAKEN):
        conditions.append(Q(kind="participants", fields__contains="roles"))
    return reduce(or_, conditions) & ~Q(reason_code=Reason.NOT_RETURNED)


def find_losses(
    change: SyncChange, values: Mapping[str, Sequence[Any]] | None
) -> Iterator[tuple[Loss, str]]:
    """Yield the losses of a change: each with the new status, tenant or the role, if it has one.

    `values` are the stored ones; without them suspensions and roles are not known.
    """
    if change.reason_code == Reason.NOT_RETURNED:
        return
    values = values or {}
    if ended := ENDED.get((change.kind, change.action)):
        yield ended, values.get("tenant", ("", ""))[1] or ""
    old, new = values.get("scaikey_status", ("", ""))
    is_suspended = change.action == "update" and old in ACTIVE_STATUSES
    if is_suspended and new not in ACTIVE_STATUSES and change.kind in SUSPENSIONS:
        yield SUSPENSIONS[change.kind], new
    old_roles, new_roles = values.get("roles", (None, None))
    for role in sorted({*(old_roles or ())} - {*(new_roles or ())}):
        yield Loss.ROLE_TAKEN, role
