from __future__ import annotations

from scaiwave.cli.arguments import ROLE, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.roles.update_role import update_role


class UpdateRoleArguments(Arguments):
    role: str = argument(ROLE)
    tenant: str = option(TENANT, required=True)
    name: str | None = option('new display name: "Editors"')
    description: str | None = option('new description ("" removes it)')


class Command(OperatorCommand[UpdateRoleArguments]):
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
