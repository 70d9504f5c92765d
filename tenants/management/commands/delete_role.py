from __future__ import annotations

from scaiwave.cli.arguments import ROLE, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.roles.create_role import delete_role


class DeleteRoleArguments(Arguments):
    role: str = argument(ROLE)
    tenant: str = option(TENANT, required=True)


class Command(OperatorCommand[DeleteRoleArguments]):
    service = staticmethod(delete_role)
    words = "role delete"
    summary = "Delete a role that has no holders"
    area, place = "people", 120
    permission = "MANAGE_ROLES"
    examples = ("scaiwave role delete editors --tenant acme",)
    help = "Delete a role without grants. Built-in roles can't be deleted."
    changes = True
