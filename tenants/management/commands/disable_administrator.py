from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import disable_administrator
from tenants.management.administrators import RemovalArguments


class Command(OperatorCommand[RemovalArguments]):
    service = staticmethod(disable_administrator)
    words = "admin disable-administrator"
    summary = "Disable an account of the admin site"
    area, place = "server", 30
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin disable-administrator anna",)
    help = (
        "Disable an administrator: the account can't sign in until you enable it, "
        "and its sessions end."
    )
    changes = True
