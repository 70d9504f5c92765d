from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.sessions import end_sessions
from tenants.management.administrators import AdministratorArguments


class Command(OperatorCommand[AdministratorArguments]):
    service = staticmethod(end_sessions)
    words = "admin end-sessions"
    summary = "End the sessions of an administrator"
    area, place = "server", 45
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin end-sessions anna",
        "scaiwave admin end-sessions anna --dry-run",
    )
    help = (
        "End all sessions of an account of the admin site, which must then sign in again. "
        "--dry-run lists them, with their addresses."
    )
    changes = True
