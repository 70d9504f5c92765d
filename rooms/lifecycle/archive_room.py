"""Archive rooms, and reopen them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.db import transaction

from rooms.errors import RoomClosed
from rooms.lookup.resolve import resolve_room
from rooms.lookup.rooms import load_room_row
from rooms.models import Room, RoomState
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.validators import validate_reason


@dataclass(frozen=True)
class RoomStateResult:
    """`name` is how messages refer to the room. `changed` is False if there was nothing to change,
    and in a dry run."""

    room: Row
    name: str
    changed: bool
    dry_run: bool = False

    @classmethod
    def build(cls, room: Room, *, changes: bool, dry_run: bool) -> Self:
        return cls(load_room_row(room), str(room), changes and not dry_run, changes and dry_run)

    def document(self) -> Row:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        return {"room": self.room, "changed": self.changed or self.dry_run}


class ArchiveRoomResult(RoomStateResult):
    @property
    def sentence(self) -> str:
        if self.dry_run:
            return f"Would archive room {self.name}."
        if self.changed:
            return f"Room {self.name} archived."
        return f"Room {self.name} is already archived; nothing changed."


class ReopenRoomResult(RoomStateResult):
    @property
    def sentence(self) -> str:
        if self.dry_run:
            return f"Would reopen room {self.name}."
        if self.changed:
            return f"Room {self.name} reopened."
        return f"Room {self.name} is already open; nothing changed."


def archive_room(
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> ArchiveRoomResult:
    """Archive an open room. The reason goes into the audit log and may be empty.

    Raises TenantNotFound, RoomNotFound, AmbiguousName, InvalidName and RoomClosed.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant))
    changes = _set_state(operator, room, RoomState.ARCHIVED, reason, now, dry_run=dry_run)
    return ArchiveRoomResult.build(room, changes=changes, dry_run=dry_run)


def reopen_room(
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> ReopenRoomResult:
    """Open an archived room again. The reason goes into the audit log and may be empty.

    Raises TenantNotFound, RoomNotFound, AmbiguousName, InvalidName and RoomClosed.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant))
    changes = _set_state(operator, room, RoomState.OPEN, reason, now, dry_run=dry_run)
    return ReopenRoomResult.build(room, changes=changes, dry_run=dry_run)


def _set_state(
    operator: Operator,
    room: Room,
    state: RoomState,
    reason: str,
    now: datetime,
    *,
    dry_run: bool,
) -> bool:
    """Return whether the state changes. Raises `RoomClosed`."""
    if dry_run:
        return _is_change(room, state)
    with transaction.atomic():
        current = Room.objects.select_for_update().get(pk=room.pk)
        if not _is_change(current, state):
            return False
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
    return True


def _is_change(room: Room, state: RoomState) -> bool:
    if room.state == RoomState.CLOSED:
        raise RoomClosed(f"Room {room} is closed.")
    return room.state != state
