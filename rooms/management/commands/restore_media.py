from __future__ import annotations

from argparse import ArgumentParser

from rooms.lifecycle.remove_media import restore_media
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(restore_media)
    words = "room media restore"
    summary = "Bring back a removed file"
    area, place = "rooms", 105
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave room media restore launch-party photo.png --tenant acme",)
    help = "Bring back a file that was removed from a room, within its grace period."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", help="room (ID or alias)")
        add("file", help="file (ID, SHA-256 or name)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
