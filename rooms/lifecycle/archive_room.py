"""Archive rooms, and reopen them."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from rooms.errors import RoomClosed
from rooms.lookup.resolve import resolve_room
from rooms.lookup.rooms import load_room_row
from rooms.models import Room, RoomState
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.validators import validate_reason

ARCHIVAL = ChangeWords(
    "room",
    "Would archive room {label}.",
    "Room {label} archived.",
    "Room {label} is already archived; nothing changed.",
)
REOPENING = ChangeWords(
    "room",
    "Would reopen room {label}.",
    "Room {label} reopened.",
    "Room {label} is already open; nothing changed.",
)


def archive_room(
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Archive an open room. The reason goes into the audit log and may be empty.

    Raises TenantNotFound, RoomNotFound, AmbiguousName, InvalidName and RoomClosed.
    """
    operator.require(Permission.MANAGE_TENANTS)
    return _set_state(
        RoomState.ARCHIVED, operator, name, tenant, reason=reason, now=now, dry_run=dry_run
    )


def reopen_room(
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Open an archived room again. The reason goes into the audit log and may be empty.

    Raises TenantNotFound, RoomNotFound, AmbiguousName, InvalidName and RoomClosed.
    """
    operator.require(Permission.MANAGE_TENANTS)
    return _set_state(
        RoomState.OPEN, operator, name, tenant, reason=reason, now=now, dry_run=dry_run
    )


def _set_state(
    state: RoomState,
    operator: Operator,
    name: str,
    tenant: str,
    *,
    reason: str,
    now: datetime,
    dry_run: bool,
) -> Change:
    validate_reason(reason)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant))
    if dry_run:
        is_change = _is_change(room, state)
    else:
        with transaction.atomic():
            current = Room.objects.select_for_update().get(pk=room.pk)
            if is_change := _is_change(current, state):
                current.state = state
                current.updated_at = now
                current.save(update_fields=["state", "updated_at"])
                record_audit(
                    operator=operator,
                    action="archive-room" if state == RoomState.ARCHIVED else "reopen-room",
                    subject=current,
                    tenant=room.tenant,
                    now=now,
                    details={"reason": reason},
                )
    words = ARCHIVAL if state == RoomState.ARCHIVED else REOPENING
    return Change(
        words,
        load_room_row(room),
        is_change and not dry_run,
        is_change and dry_run,
        names={"label": str(room)},
    )


def _is_change(room: Room, state: RoomState) -> bool:
    """Raises `RoomClosed`."""
    if room.state == RoomState.CLOSED:
        raise RoomClosed(f"Room {room} is closed.")
    return room.state != state
