from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from rooms.lifecycle.remove_media import restore_media
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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

    def handle(self, room: str, file: str, tenant: str, dry_run: bool, **options: Any) -> None:
        result = restore_media(
            operator=self.operator,
            room=room,
            tenant=tenant,
            file=file,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
