from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.roles.grants import revoke_role


class Command(OperatorCommand):
    words = "role revoke"
    summary = "Revoke a role from a participant or a group"
    area, place = "people", 140
    permission = "MANAGE_ROLES"
    examples = (
        "scaiwave role revoke editors --tenant acme --from anna@acme.example",
        "scaiwave role revoke editors --tenant acme --from-group Engineering --dry-run",
    )
    help = (
        "Revoke a manual grant of a role from a participant or a group. Remove grants from ScaiKey "
        "in ScaiKey."
    )
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        holder = parser.add_mutually_exclusive_group(required=True)
        holder.add_argument(
            "--from",
            dest="from_participant",
            metavar="PARTICIPANT",
            help="participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )
        holder.add_argument("--from-group", metavar="GROUP", help="group (name, ID or ScaiKey ID)")

    def handle(
        self,
        role: str,
        tenant: str,
        from_participant: str | None,
        from_group: str | None,
        **options: Any,
    ) -> None:
        result = revoke_role(
            operator=self.operator,
            role=role,
            tenant=tenant,
            holder=from_group or from_participant or "",
            is_group=from_group is not None,
            now=timezone.now(),
            confirm=self.confirm_at_terminal,
            dry_run=options["dry_run"],
        )
        self.print_change(result)
