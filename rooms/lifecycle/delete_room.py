"""Delete rooms: hide them at once, bring them back, and tell when their rows go for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from shlex import quote

from django.conf import settings
from django.db import transaction

from rooms.errors import RoomBeingPurged, RoomNotArchived
from rooms.lifecycle.purge_room import purge_room
from rooms.lookup.holds import require_room_not_held
from rooms.lookup.resolve import resolve_room
from rooms.lookup.rooms import load_room_row
from rooms.models import Room, RoomState
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.holds.queries import block_new_holds
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.validators import validate_reason, validate_required_reason

DELETION = ChangeWords(
    "room",
    "Would delete room {label}.",
    "Room {label} deleted. `room undelete` brings it back until {until}.",
    "Room {label} is already deleted; nothing changed.",
)
PURGE = ChangeWords("room", "Would delete room {label} for good.", "Room {label} deleted for good.")
UNDELETION = ChangeWords(
    "room",
    "Would bring back room {label}.",
    "Room {label} is back, archived.",
    "Room {label} is not deleted; nothing changed.",
)


def delete_room(
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    confirm: Callable[[str, str], None],
    now: datetime,
    archive: bool = False,
    at_once: bool = False,
    dry_run: bool = False,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Change:
    """Delete an archived or closed room; with `archive` an open one too.

    It is hidden everywhere at once, and its rows and files are deleted after a grace period, or now
    if `at_once`. `confirm` gets the effect and the name of the room, and raises unless the operator
    agrees. Raises RoomNotArchived, OnHold, RoomNotFound, TenantNotFound, AmbiguousName,
    InvalidName, and what `purge_room` raises.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_required_reason(reason)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant), with_deleted=True)
    row = load_room_row(room)
    words = PURGE if at_once else DELETION
    if room.deleted_at is not None and not at_once:
        return _build_change(words, room)
    _require_deletable(room, archive=archive)
    if dry_run:
        return _build_change(words, room, dry_run=True)
    events = pluralize(row["events"], "event")
    end = "for good; this can't be undone" if at_once else f"on {_get_purge_time(now):%Y-%m-%d}"
    what = f"room {room} of {room.tenant.slug} with {events} and its files"
    confirm(f"This hides and deletes {what} {end}.", str(room))
    with transaction.atomic():
        block_new_holds()
        room = _lock(room)
        _require_deletable(room, archive=archive)
        _hide(operator, room, reason, now, at_once=at_once)
    if at_once:
        purge_room(operator=operator, room=room, now=now, progress_factory=progress_factory)
        return Change(words, row, changed=True, names={"label": str(room)})
    return _build_change(words, room, changed=True)


def undelete_room(
    *,
    operator: Operator,
    name: str,
    tenant: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Bring back a deleted room before its grace period has ended. The reason may be empty.

    Raises RoomBeingPurged, RoomNotFound, TenantNotFound, AmbiguousName and InvalidName.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    room = resolve_room(operator, name, tenant=resolve_tenant(operator, tenant), with_deleted=True)
    if room.deleted_at is None or dry_run:
        _require_whole(room)
        return _build_change(UNDELETION, room, dry_run=dry_run and room.deleted_at is not None)
    with transaction.atomic():
        room = _lock(room)
        _require_whole(room)
        room.deleted_at = room.purge_at = room.deletion = None
        room.updated_at = now
        room.save()
        _record(operator, room, "room undelete", now, {"reason": reason})
    return _build_change(UNDELETION, room, changed=True)


def _require_deletable(room: Room, *, archive: bool) -> None:
    """Raises `RoomNotArchived` and `OnHold`."""
    require_room_not_held(room, f"delete room {room}")
    if room.state == RoomState.OPEN and not archive:
        slug = quote(room.tenant.slug)
        raise RoomNotArchived(
            f"Room {room} is open. No changes were made.",
            fix=f"Run `scaiwave room archive {quote(str(room.pk))} --tenant {slug}` first, or add "
            "--archive.",
        )


def _require_whole(room: Room) -> None:
    if "counts" in (room.deletion or {}):
        raise RoomBeingPurged(f"The rows of room {room} are already being deleted.")


def _lock(room: Room) -> Room:
    return Room.all_objects.select_related("tenant").select_for_update(of=("self",)).get(pk=room.pk)


def _hide(operator: Operator, room: Room, reason: str, now: datetime, *, at_once: bool) -> None:
    """Hide the room; one that is hidden already is only due earlier."""
    if room.state == RoomState.OPEN:
        room.state = RoomState.ARCHIVED
    room.deleted_at = room.deleted_at or now
    room.purge_at = now if at_once else _get_purge_time(now)
    room.deletion = {**(room.deletion or {}), "reason": reason}
    room.updated_at = now
    room.save()
    _record(
        operator, room, "room delete", now, {"reason": reason, "until": room.purge_at.isoformat()}
    )


def _get_purge_time(now: datetime) -> datetime:
    return now + timedelta(days=settings.CONFIG.get_int("SCAIWAVE_DELETION_GRACE_DAYS"))


def _record(
    operator: Operator, room: Room, action: str, now: datetime, details: dict[str, str]
) -> None:
    record_audit(
        operator=operator,
        action=action,
        subject=room,
        tenant=room.tenant,
        now=now,
        details=details,
    )


def _build_change(
    words: ChangeWords, room: Room, *, changed: bool = False, dry_run: bool = False
) -> Change:
    until = room.purge_at and room.purge_at.astimezone(settings.LOCAL_ZONE)
    names = {"label": str(room), "until": f"{until:%Y-%m-%d %H:%M}" if until else ""}
    return Change(words, load_room_row(room), changed, dry_run, names=names)
