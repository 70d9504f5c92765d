from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.utils import timezone

from federation.models import FederationMode
from federation.policy.set_policy import PolicyUpdate, set_policy
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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
                action="append",
                default=[],
                metavar="SERVER",
                help=f"{effect} (repeatable)",
            )
        parser.add_argument(
            "--max-foreign-participants",
            type=_parse_limit,
            metavar="N",
            help="maximum number of participants from other servers in a room (`none`: no limit)",
        )

    def handle(self, dry_run: bool, **options: Any) -> None:
        limit = options["max_foreign_participants"]
        changes = PolicyUpdate(
            default_mode=options["default_mode"],
            allow_peers=options["allow_peer"],
            remove_peers=options["remove_peer"],
            limit_foreign=limit is not None,
            max_foreign=limit if isinstance(limit, int) else None,
        )
        result = set_policy(
            operator=self.operator, changes=changes, now=timezone.now(), dry_run=dry_run
        )
        self.print_change(result)


def _parse_limit(text: str) -> int | str:
    if text != "none" and not text.isdecimal():
        raise ArgumentTypeError("pass a number or none")
    return text if text == "none" else int(text)
