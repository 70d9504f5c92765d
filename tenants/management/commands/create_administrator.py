from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.create_administrator import create_administrator
from tenants.management.passwords import FILE_FLAG, read_password


class Command(OperatorCommand):
    words = "admin create-administrator"
    summary = "Create an account for the admin site"
    area, place = "server", 10
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin create-administrator anna --email anna@example.com",
        "scaiwave admin create-administrator anna --password-file password.txt",
        "scaiwave admin create-administrator otto --role auditor",
    )
    help = (
        "Create an administrator: an account that can view everything in the admin site, and act. "
        "An auditor views the same, except for messages, but can't act. Prompts for the password "
        "unless --password-file is given. Existing accounts are not changed."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name to sign in with")
        parser.add_argument("--email", default="", help="e-mail address")
        parser.add_argument(
            "--role",
            choices=("administrator", "auditor"),
            default="administrator",
            help="what the account may do (default: administrator)",
        )
        parser.add_argument(
            FILE_FLAG, metavar="FILE", help="read the password from FILE, or from stdin for -"
        )

    def handle(self, username: str, email: str, role: str, dry_run: bool, **options: Any) -> None:
        result = create_administrator(
            operator=self.operator,
            username=username,
            email=email,
            password=lambda: read_password(self, username, options["password_file"]),
            now=timezone.now(),
            is_auditor=role == "auditor",
            dry_run=dry_run,
        )
        self.print_change(result)
