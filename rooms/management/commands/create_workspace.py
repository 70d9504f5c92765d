from __future__ import annotations

from rooms.workspaces.create_workspace import WorkspaceSpec, create_workspace
from scaiwave.cli.arguments import TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand


class CreateWorkspaceArguments(Arguments):
    tenant: str = option(TENANT, required=True)
    slug: str = option("short name: sales", required=True)
    name: str = option('full name: "Sales"', required=True)
    description: str = option("purpose of the workspace", default="")
    owner: str | None = option(
        "owner (e-mail address, @name:server, local ID, ID or ScaiKey ID)", metavar="PARTICIPANT"
    )


class Command(OperatorCommand[CreateWorkspaceArguments]):
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

    def run(self, given: CreateWorkspaceArguments) -> None:
        spec = WorkspaceSpec(given.slug, given.name, given.description, given.owner)
        self.print_report(self.call_service(given, spec=spec))
