from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.lifecycle.archive_room import archive_room
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(archive_room)
    words = "room archive"
    summary = "Archive a room"
    area, place = "rooms", 90
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave room archive launch-party --tenant acme --reason "project ended"',)
    help = "Archive an open room. Nothing in it is deleted, and `room reopen` opens it again."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("room", help="room (ID or alias)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(self, **options: Any) -> None:
        self.print_change(self.call_service(options, name=options["room"]))
