from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import reset_administrator_password
from tenants.management.passwords import FILE_FLAG, read_password


class Command(OperatorCommand):
    service = staticmethod(reset_administrator_password)
    words = "admin reset-administrator-password"
    summary = "Set a new password for the admin site"
    area, place = "server", 50
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin reset-administrator-password anna",
        "scaiwave admin reset-administrator-password anna --password-file password.txt",
    )
    help = (
        "Set a new password for an administrator, and end their sessions. Prompts for the password "
        "unless --password-file is given."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name of the administrator")
        parser.add_argument(
            FILE_FLAG, metavar="FILE", help="read the password from FILE, or from stdin for -"
        )

    def handle(self, **options: Any) -> None:
        username, file = options["username"], options["password_file"]
        password = partial(read_password, self, username, file)
        self.print_change(self.call_service(options, password=password))
