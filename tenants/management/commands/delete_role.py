from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.roles.create_role import delete_role


class Command(OperatorCommand):
    words = "role delete"
    summary = "Delete a role that has no holders"
    area, place = "people", 120
    permission = "MANAGE_ROLES"
    examples = ("scaiwave role delete editors --tenant acme",)
    help = "Delete a role without grants. Built-in roles can't be deleted."
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")

    def handle(self, role: str, tenant: str, dry_run: bool, **options: Any) -> None:
        result = delete_role(
            operator=self.operator,
            role=role,
            tenant=tenant,
            now=timezone.now(),
            confirm=self.confirm_at_terminal,
            dry_run=dry_run,
        )
        self.print_change(result)
