"""Archive rooms, reopen them, and bring back deleted ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.db import transaction

from rooms.errors import RoomBeingPurged, RoomClosed, RoomNotFound
from rooms.lookup.resolve import resolve_room
from rooms.lookup.rooms import load_room_row
from rooms.models import Room, RoomState
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.validators import validate_reason


class RoomAct(NamedTuple):
    """`apply` changes the row in memory, and returns whether there was something to change."""

    action: str
    words: ChangeWords
    apply: Callable[[Room], bool]
    is_about_deleted: bool = False


def change_room(
    act: RoomAct,
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Change one room. The reason goes into the audit log and may be empty.

    Raises TenantNotFound, RoomNotFound, AmbiguousName, InvalidName, and RoomClosed or
    RoomBeingPurged.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    found = resolve_room(
        operator,
        name,
        tenant=resolve_tenant(operator, tenant),
        with_deleted=act.is_about_deleted,
    )
    names = {"label": str(found)}
    if dry_run:
        return Change(act.words, load_room_row(found), dry_run=act.apply(found), names=names)
    with transaction.atomic():
        room = lock_room(found, with_deleted=act.is_about_deleted)
        if changed := act.apply(room):
            room.updated_at = now
            room.save()
            record_audit(
                operator=operator,
                action=act.action,
                subject=room,
                tenant=room.tenant,
                now=now,
                details={"reason": reason},
            )
    return Change(act.words, load_room_row(room), changed, names=names)


def lock_room(room: Room, *, with_deleted: bool = True) -> Room:
    """Return the room as it is now, locked. Raises RoomNotFound if it was just deleted."""
    rooms = Room.all_objects if with_deleted else Room.objects
    rows = rooms.select_related("tenant").select_for_update(of=("self",)).filter(pk=room.pk)
    if (locked := rows.first()) is None:
        raise RoomNotFound(f"Room {room} was just deleted.")
    return locked


def _set_state(state: RoomState, room: Room) -> bool:
    if room.state == RoomState.CLOSED:
        raise RoomClosed(f"Room {room} is closed.")
    is_change = room.state != state
    room.state = state
    return is_change


def _undelete(room: Room) -> bool:
    """Do it before the grace period has ended."""
    if "counts" in (room.deletion or {}):
        raise RoomBeingPurged(f"The rows of room {room} are already being deleted.")
    is_change = room.deleted_at is not None
    room.deleted_at = room.purge_at = room.deletion = None
    return is_change


def _build_act(
    action: str, verb: str, past: str, same: str, apply: Callable[[Room], bool], **options: bool
) -> Callable[..., Change]:
    words = ChangeWords(
        "room",
        f"Would {verb} room {{label}}.",
        f"Room {{label}} {past}.",
        f"Room {{label}} is {same}; nothing changed.",
    )
    return partial(change_room, RoomAct(action, words, apply, **options))


archive_room = _build_act(
    "archive-room",
    "archive",
    "archived",
    "already archived",
    partial(_set_state, RoomState.ARCHIVED),
)
reopen_room = _build_act(
    "reopen-room", "reopen", "reopened", "already open", partial(_set_state, RoomState.OPEN)
)
undelete_room = _build_act(
    "room undelete", "bring back", "is back, archived", "not deleted", _undelete,
    is_about_deleted=True,
)  # fmt: skip
