from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import remove_administrator


class Command(OperatorCommand):
    words = "admin remove-administrator"
    summary = "Delete an account of the admin site"
    area, place = "server", 60
    profile = "full"  # deletes also what the applications of the admin site store about it
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin remove-administrator anna --no-input",)
    help = "Delete the account of an administrator, and end its sessions. Audit entries stay."
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name of the administrator")
        parser.add_argument(
            "--allow-last",
            action="store_true",
            help="allow removing the last administrator who can sign in",
        )

    def handle(self, username: str, dry_run: bool, **options: Any) -> None:
        result = remove_administrator(
            operator=self.operator,
            username=username,
            confirm=self.confirm,
            now=timezone.now(),
            allow_last=options["allow_last"],
            dry_run=dry_run,
        )
        self.print_change(result)
