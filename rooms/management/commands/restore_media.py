from __future__ import annotations

from rooms.lifecycle.remove_media import restore_media
from scaiwave.cli.arguments import ROOM, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class RestoreMediaArguments(Arguments):
    room: str = argument(ROOM)
    file: str = argument("file (ID, SHA-256 or name)")
    tenant: str = option(TENANT, required=True)


class Command(OperatorCommand[RestoreMediaArguments]):
    service = staticmethod(restore_media)
    words = "room media restore"
    summary = "Bring back a removed file"
    area, place = "rooms", 105
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave room media restore launch-party photo.png --tenant acme",)
    help = "Bring back a file that was removed from a room, within its grace period."
    changes = True
