from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.accounts.create_administrator import create_administrator
from tenants.management.passwords import read_password


class CreateAdministratorArguments(Arguments):
    username: str = argument("name to sign in with")
    email: str = option("e-mail address", default="")
    role: str = option(
        "role of the account (default: administrator)",
        choices=("administrator", "auditor"),
        default="administrator",
    )
    password_file: str | None = option(
        "read the password from FILE, or from stdin for -", metavar="FILE"
    )


class Command(OperatorCommand[CreateAdministratorArguments]):
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

    def run(self, given: CreateAdministratorArguments) -> None:
        result = self.call_service(
            given,
            password=lambda: read_password(self, given.username, given.password_file),
            is_auditor=given.role == "auditor",
        )
        self.print_report(result)
