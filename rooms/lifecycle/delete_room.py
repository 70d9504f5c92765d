"""Delete rooms: hide them at once, and tell when their rows go for good."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from shlex import quote
from typing import Any

from django.conf import settings
from django.db import transaction

from rooms.errors import RoomNotArchived
from rooms.lifecycle.archive_room import lock_room
from rooms.lifecycle.deletion import open_deletion
from rooms.lifecycle.purge_room import count_at_first, purge_room
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
from tenants.lookup.validators import validate_required_reason

DELETION = ChangeWords(
    "room",
    "Would delete room {label}.",
    "Room {label} deleted. `room undelete` brings it back until {until}.",
    "Room {label} is already deleted; nothing changed.",
)
PURGE = ChangeWords("room", "Would delete room {label} for good.", "Room {label} deleted for good.")


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
    with open_deletion(operator, now) if at_once else nullcontext() as deletion:
        details: dict[str, Any] = {"reason": reason}
        if deletion:
            details["counts"] = count_at_first(room)  # A room with counts is never brought back.
        with transaction.atomic():
            block_new_holds()
            room = lock_room(room)
            _require_deletable(room, archive=archive)
            _hide(operator, room, details, now, at_once=at_once)
        if deletion:
            purge_room(
                operator=operator,
                room=room,
                now=now,
                progress_factory=progress_factory,
                deletion=deletion,
            )
            return Change(words, row, changed=True, names={"label": str(room)})
    return _build_change(words, room, changed=True)


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


def _hide(
    operator: Operator, room: Room, deletion: dict[str, Any], now: datetime, *, at_once: bool
) -> None:
    """Hide the room; one that is hidden already is only due earlier."""
    if room.state == RoomState.OPEN:
        room.state = RoomState.ARCHIVED
    room.deleted_at = room.deleted_at or now
    room.purge_at = now if at_once else _get_purge_time(now)
    room.deletion = {**deletion, **(room.deletion or {}), "reason": deletion["reason"]}
    room.updated_at = now
    room.save()
    record_audit(
        operator=operator,
        action="room delete",
        subject=room,
        tenant=room.tenant,
        now=now,
        details={"reason": deletion["reason"], "until": room.purge_at.isoformat()},
    )


def _get_purge_time(now: datetime) -> datetime:
    return now + timedelta(days=settings.CONFIG.get_int("SCAIWAVE_DELETION_GRACE_DAYS"))


def _build_change(
    words: ChangeWords, room: Room, *, changed: bool = False, dry_run: bool = False
) -> Change:
    until = room.purge_at and room.purge_at.astimezone(settings.LOCAL_ZONE)
    names = {"label": str(room), "until": f"{until:%Y-%m-%d %H:%M}" if until else ""}
    return Change(words, load_room_row(room), changed, dry_run, names=names)
