from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.create_administrator import create_administrator
from tenants.management.passwords import FILE_FLAG, read_password


class Command(OperatorCommand):
    service = staticmethod(create_administrator)
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
            help="role of the account (default: administrator)",
        )
        parser.add_argument(
            FILE_FLAG, metavar="FILE", help="read the password from FILE, or from stdin for -"
        )

    def handle(self, **options: Any) -> None:
        result = self.call_service(
            options,
            password=lambda: read_password(self, options["username"], options["password_file"]),
            is_auditor=options["role"] == "auditor",
        )
        self.print_change(result)
