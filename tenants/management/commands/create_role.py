from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.roles.create_role import create_role


class Command(OperatorCommand):
    service = staticmethod(create_role)
    words = "role create"
    area, place = "people", 100
    permission = "MANAGE_ROLES"
    examples = ('scaiwave role create --tenant acme --slug editors --name "Editors"',)
    help = "Create a role. Running it again with the same arguments changes nothing."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--slug", required=True, help="short name that rooms refer to: editors")
        parser.add_argument("--name", required=True, help='display name: "Editors"')
        parser.add_argument("--description", default="", help="purpose of the role")
