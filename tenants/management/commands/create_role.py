from __future__ import annotations

from scaiwave.cli.arguments import TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand
from tenants.roles.create_role import create_role


class CreateRoleArguments(Arguments):
    tenant: str = option(TENANT, required=True)
    slug: str = option("short name that rooms refer to: editors", required=True)
    name: str = option('display name: "Editors"', required=True)
    description: str = option("purpose of the role", default="")


class Command(OperatorCommand[CreateRoleArguments]):
    service = staticmethod(create_role)
    words = "role create"
    area, place = "people", 100
    permission = "MANAGE_ROLES"
    examples = ('scaiwave role create --tenant acme --slug editors --name "Editors"',)
    help = "Create a role. Running it again with the same arguments changes nothing."
    changes = True
