from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from rooms.lifecycle.delete_room import undelete_room
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "room undelete"
    summary = "Bring back a deleted room"
    area, place = "rooms", 102
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave room undelete launch-party --tenant acme --reason "still needed"',)
    help = (
        "Bring back a deleted room within its grace period, as an archived room. `room list "
        "--deleted` lists deleted rooms."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("room", help="room (ID or alias)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--reason", required=True, help="reason for the audit log")

    def handle(self, room: str, tenant: str, reason: str, dry_run: bool, **options: Any) -> None:
        result = undelete_room(
            operator=self.operator,
            name=room,
            tenant=tenant,
            reason=reason,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
