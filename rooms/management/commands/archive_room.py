from __future__ import annotations

from rooms.lifecycle.archive_room import archive_room
from scaiwave.cli.arguments import REASON, ROOM, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class ArchiveRoomArguments(Arguments):
    name: str = argument(ROOM, metavar="room")
    tenant: str = option(TENANT, required=True)
    reason: str = option(REASON, default="")


class Command(OperatorCommand[ArchiveRoomArguments]):
    service = staticmethod(archive_room)
    words = "room archive"
    summary = "Archive a room"
    area, place = "rooms", 90
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave room archive launch-party --tenant acme --reason "project ended"',)
    help = "Archive an open room. Nothing in it is deleted, and `room reopen` opens it again."
    changes = True
