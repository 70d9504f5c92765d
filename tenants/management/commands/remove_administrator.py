from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import remove_administrator
from tenants.management.administrators import RemovalArguments


class Command(OperatorCommand[RemovalArguments]):
    service = staticmethod(remove_administrator)
    words = "admin remove-administrator"
    summary = "Delete an account of the admin site"
    area, place = "server", 60
    profile = "full"  # deletes also rows of the admin site's applications about it
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin remove-administrator anna --no-input",)
    help = "Delete the account of an administrator, and end its sessions. Audit entries stay."
    changes = True
