from __future__ import annotations

from rooms.retention.policies import clear_retention
from scaiwave.cli.arguments import REASON, TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand


class ClearRetentionArguments(Arguments):
    tenant: str | None = option(TENANT)
    room: str | None = option("room of the tenant (ID or alias)")
    reason: str = option(REASON, default="")


class Command(OperatorCommand[ClearRetentionArguments]):
    service = staticmethod(clear_retention)
    words = "admin retention clear"
    summary = "Remove a retention policy"
    area, place = "rooms", 131
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin retention clear --tenant acme --room lobby",)
    help = "Remove the policy of this server, of a tenant, or of a room. A wider one counts then."
    changes = True
