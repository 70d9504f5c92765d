from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.roles.create_role import delete_role


class Command(OperatorCommand):
    service = staticmethod(delete_role)
    words = "role delete"
    summary = "Delete a role that has no holders"
    area, place = "people", 120
    permission = "MANAGE_ROLES"
    examples = ("scaiwave role delete editors --tenant acme",)
    help = "Delete a role without grants. Built-in roles can't be deleted."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
