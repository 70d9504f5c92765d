from __future__ import annotations

from rooms.lifecycle.archive_room import undelete_room
from rooms.management.commands import archive_room


class Command(archive_room.Command):
    service = staticmethod(undelete_room)
    words = "room undelete"
    summary = "Bring back a deleted room"
    area, place = "rooms", 102
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave room undelete launch-party --tenant acme",)
    help = (
        "Bring back a deleted room within its grace period, as an archived room. `room list "
        "--deleted` lists deleted rooms."
    )
