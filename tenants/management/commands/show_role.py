from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.management.commands._role import show_participant_roles, show_role_holders
from tenants.queries.show_role import show_role


class Command(OperatorCommand):
    help = (
        "Show who holds a role, or which roles a participant holds, and why: directly or through "
        "which groups, where the grant comes from, who made it and when."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name",
            metavar="role-or-participant",
            help="a role's slug or id; or a participant's e-mail, @name:server, local id or id",
        )
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")
        what = parser.add_mutually_exclusive_group()
        for kind in ("role", "participant"):
            what.add_argument(
                f"--{kind}",
                dest="of",
                action="store_const",
                const=kind,
                help=f"the name is a {kind}'s, should there be both",
            )

    def handle(self, name: str, tenant: str, of: str | None, **options: Any) -> None:
        found = show_role(operator=self.operator, name=name, tenant=tenant, of=of)
        if self.output.as_json:
            self.output.print_json(found)
        elif "role" in found:
            show_role_holders(self.output, found["role"])
        else:
            show_participant_roles(self.output, found["participant"])
