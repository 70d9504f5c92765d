from __future__ import annotations

from federation.models import FederationMode
from federation.policy.set_policy import set_policy
from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import limit_arg


class SetPolicyArguments(Arguments):
    default_mode: str | None = option(
        "servers to federate with: open (all), invite_only (allowed peers), closed (none)",
        choices=FederationMode.values,
    )
    allow_peers: list[str] = option(
        "server to add to the allowed peers, for mode invite_only (repeatable)",
        "--allow-peer",
        metavar="SERVER",
    )
    remove_peers: list[str] = option(
        "server to remove from the allowed peers (repeatable)", "--remove-peer", metavar="SERVER"
    )
    max_foreign: int | str | None = option(
        "maximum number of participants from other servers in a room (`none`: no limit)",
        "--max-foreign-participants",
        type=limit_arg,
        metavar="N",
    )


class Command(OperatorCommand[SetPolicyArguments]):
    service = staticmethod(set_policy)
    words = "admin federation policy set"
    area, place = "federation", 130
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin federation policy set --default-mode invite_only --allow-peer "
        "chat.example.com",
        "scaiwave admin federation policy set --max-foreign-participants 50",
    )
    help = "Change the federation policy. Options that you omit leave their value unchanged."
    changes = True
