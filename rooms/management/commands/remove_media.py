from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from rooms.lifecycle.remove_media import remove_media
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "room media remove"
    summary = "Remove a file from a room"
    area, place = "rooms", 104
    permission = "MANAGE_TENANTS"
    examples = (
        'scaiwave room media remove launch-party photo.png --tenant acme --reason "not allowed"',
    )
    help = (
        "Remove a file from a room. It is hidden at once, and its bytes are deleted after "
        "SCAIWAVE_DELETION_GRACE_DAYS, by `admin prune`, unless another room has them. Then the "
        "messages keep its name and the reason."
    )
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", help="room (ID or alias)")
        add("file", help="file (ID, SHA-256 or name)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--reason", required=True, help="reason, which the list, messages and audit log show")
        add("--now", action="store_true", help="skip the grace period; this can't be undone")

    def handle(self, room: str, tenant: str, reason: str, dry_run: bool, **options: Any) -> None:
        at_once = options["now"]
        result = remove_media(
            operator=self.operator,
            room=room,
            tenant=tenant,
            file=options["file"],
            reason=reason,
            confirm=self.confirm_name if at_once else lambda effect, name: self.confirm(effect),
            now=timezone.now(),
            at_once=at_once,
            dry_run=dry_run,
        )
        self.print_change(result)
