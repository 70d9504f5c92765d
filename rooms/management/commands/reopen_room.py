from __future__ import annotations

from rooms.lifecycle.archive_room import reopen_room
from rooms.management.commands import archive_room


class Command(archive_room.Command):
    service = staticmethod(reopen_room)
    words = "room reopen"
    summary = "Open an archived room again"
    area, place = "rooms", 100
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave room reopen launch-party --tenant acme",)
    help = "Open an archived room again. A closed room stays closed."
