from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from rooms.lifecycle.archive_room import archive_room
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "room archive"
    summary = "Archive a room"
    area, place = "rooms", 90
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave room archive launch-party --tenant acme --reason "project ended"',)
    help = "Archive an open room. Nothing in it is deleted, and `room reopen` opens it again."
    changes = True
    set_state: Callable[..., Any] = staticmethod(archive_room)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("room", help="room (ID or alias)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(self, room: str, tenant: str, reason: str, dry_run: bool, **options: Any) -> None:
        result = self.set_state(
            operator=self.operator,
            name=room,
            tenant=tenant,
            reason=reason,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
