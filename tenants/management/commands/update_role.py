from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.roles.update_role import update_role


class Command(OperatorCommand):
    service = staticmethod(update_role)
    words = "role update"
    summary = "Change a role's name and description"
    area, place = "people", 110
    permission = "MANAGE_ROLES"
    examples = (
        'scaiwave role update editors --tenant acme --name "Copy editors"',
        'scaiwave role update editors --tenant acme --description "May publish" --dry-run',
    )
    help = (
        "Change the name and the description of a role. The slug can't be changed, since rooms "
        "refer to it."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--name", help='new display name: "Editors"')
        parser.add_argument("--description", help='new description ("" removes it)')
