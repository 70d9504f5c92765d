from __future__ import annotations

from functools import partial

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import reset_administrator_password
from tenants.management.passwords import read_password


class ResetAdministratorPasswordArguments(Arguments):
    username: str = argument("name of the administrator")
    password_file: str | None = option(
        "read the password from FILE, or from stdin for -", metavar="FILE"
    )


class Command(OperatorCommand[ResetAdministratorPasswordArguments]):
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

    def run(self, given: ResetAdministratorPasswordArguments) -> None:
        username, file = given.username, given.password_file
        password = partial(read_password, self, username, file)
        self.print_report(self.call_service(given, password=password))
