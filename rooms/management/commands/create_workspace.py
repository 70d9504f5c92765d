from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.workspaces.create_workspace import WorkspaceSpec, create_workspace
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(create_workspace)
    words = "admin create-workspace"
    area, place = "rooms", 10
    permission = "MANAGE_TENANTS"
    examples = (
        'scaiwave admin create-workspace --tenant acme --slug sales --name "Sales" --owner '
        "anna@acme.example",
    )
    help = (
        "Create a workspace. Its owner may import rooms into it. Running it again with the same "
        "arguments changes nothing."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--slug", required=True, help="short name: sales")
        add("--name", required=True, help='full name: "Sales"')
        add("--description", default="", help="purpose of the workspace")
        add(
            "--owner",
            metavar="PARTICIPANT",
            help="owner (e-mail address, @name:server, local ID, ID or ScaiKey ID)",
        )

    def handle(self, **options: Any) -> None:
        names = ("slug", "name", "description", "owner")
        spec = WorkspaceSpec(*(options[name] for name in names))
        self.print_change(self.call_service(options, spec=spec))
