from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from rooms.retention.policies import clear_retention
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin retention clear"
    summary = "Remove a retention policy"
    area, place = "rooms", 131
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin retention clear --tenant acme --room lobby",)
    help = "Remove the policy of this server, of a tenant, or of a room. A wider one counts then."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--room", help="room of the tenant (ID or alias)")
        parser.add_argument("--reason", default="", help="reason for the audit log")

    def handle(self, tenant: str | None, room: str | None, reason: str, **options: Any) -> None:
        result = clear_retention(
            operator=self.operator,
            tenant=tenant,
            room=room,
            reason=reason,
            now=timezone.now(),
            dry_run=self.dry_run,
        )
        self.print_change(result)
