from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.roles.grants import grant_role


class Command(OperatorCommand):
    words = "role grant"
    summary = "Grant a role to a participant or a group"
    area, place = "people", 130
    is_everyday = True
    permission = "MANAGE_ROLES"
    examples = (
        "scaiwave role grant editors --tenant acme --to anna@acme.example",
        "scaiwave role grant editors --tenant acme --to-group Engineering",
    )
    help = (
        "Grant a role manually to a participant, or to all members of a group. Syncs do not remove "
        "manual grants."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        holder = parser.add_mutually_exclusive_group(required=True)
        holder.add_argument(
            "--to",
            metavar="PARTICIPANT",
            help="participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )
        holder.add_argument("--to-group", metavar="GROUP", help="group (name, ID or ScaiKey ID)")

    def handle(
        self, role: str, tenant: str, to: str | None, to_group: str | None, **options: Any
    ) -> None:
        result = grant_role(
            operator=self.operator,
            role=role,
            tenant=tenant,
            holder=to_group or to or "",
            is_group=to_group is not None,
            now=timezone.now(),
            dry_run=options["dry_run"],
        )
        self.print_change(result)
