"""The export of a room by somebody who is in it, without an operator."""

from __future__ import annotations

from datetime import datetime

from rooms.bundle.time_window import Window
from rooms.errors import NotMember
from rooms.models import Membership, Room, RoomMember
from rooms.queries.resolve import resolve_room
from rooms.services.bundle_signer import own_signer
from rooms.services.exports.export_room import ExportOptions, RoomExport, start_export
from scaiwave.auth.operators import Permission
from scaiwave.console.progress import null_progress
from tenants.models import Participant
from tenants.queries.callers import Caller


def export_as_participant(*, caller: Caller, room: str, now: datetime) -> RoomExport:
    """Begin to export the whole room. Any power will do, but the caller has to have joined
    (ScaiWave docs, tutorials/export-and-import-rooms).

    Raises what `export_room` raises, and `NotMember`, before anything about the room is told.
    """
    caller.operator.require(Permission.CARRY_ROOMS)
    found = resolve_room(caller.operator, room, tenant=caller.tenant)
    _require_joined(found, caller.participant)
    wanted = ExportOptions(Window(), True, now, own_signer(now), null_progress)
    return start_export(operator=caller.operator, room=found, wanted=wanted)


def _require_joined(room: Room, participant: Participant) -> None:
    joined = RoomMember.objects.filter(
        room=room, participant=participant, membership=Membership.JOIN
    )
    if not joined.exists():
        raise NotMember(f"You are not a member of room {room.pk}.")
