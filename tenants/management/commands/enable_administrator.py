from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import enable_administrator
from tenants.management.administrators import AdministratorArguments


class Command(OperatorCommand[AdministratorArguments]):
    service = staticmethod(enable_administrator)
    words = "admin enable-administrator"
    summary = "Enable a disabled account of the admin site"
    area, place = "server", 40
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin enable-administrator anna",)
    help = "Let a disabled administrator sign in to the admin site again."
    changes = True
