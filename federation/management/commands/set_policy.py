from __future__ import annotations

from argparse import ArgumentParser

from federation.models import FederationMode
from federation.policy.set_policy import set_policy
from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import limit_arg


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--default-mode",
            choices=FederationMode.values,
            help="servers to federate with: open (all), invite_only (allowed peers), closed (none)",
        )
        for flag, effect in (
            ("allow", "server to add to the allowed peers, for mode invite_only"),
            ("remove", "server to remove from the allowed peers"),
        ):
            parser.add_argument(
                f"--{flag}-peer",
                dest=f"{flag}_peers",
                action="append",
                default=[],
                metavar="SERVER",
                help=f"{effect} (repeatable)",
            )
        parser.add_argument(
            "--max-foreign-participants",
            dest="max_foreign",
            type=limit_arg,
            metavar="N",
            help="maximum number of participants from other servers in a room (`none`: no limit)",
        )
