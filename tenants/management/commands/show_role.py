from __future__ import annotations

from scaiwave.cli.arguments import TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from tenants.lookup.serializers import Row
from tenants.management.output import format_role_path, format_status, print_sections
from tenants.roles.queries.roles import show_role

ROLE = (
    Column("slug", "Role"),
    *columns_of("name", "description", "tenant"),
    Column("built_in", "Built in", ColumnType.FLAG),
    Column("id", "ID"),
    Column("created_at", "Created", ColumnType.TIME),
)
_GRANT = (
    *columns_of("source", "granted_by"),
    Column("granted_at", "Granted", ColumnType.TIME, part=Part.EXTRA),
)
GRANTS = (Column("to", "Granted to", part=Part.KEY), *_GRANT)
HOLDERS = (
    Column("display_name", "Name"),
    Column("fqid", "FQID", part=Part.KEY),
    Column("status", "Status"),
    Column("way", "How"),
)
PARTICIPANT = (
    Column("display_name", "Name"),
    *columns_of("email", "fqid", "tenant", "status", "id"),
)
ROLES = (Column("slug", "Role"), Column("way", "How"), *_GRANT)


class ShowRoleArguments(Arguments):
    name: str = argument(
        "role (slug or ID), or participant (e-mail address, @name:server, local ID, ID or ScaiKey "
        "ID)",
        metavar="role-or-participant",
    )
    tenant: str = option(TENANT, required=True)
    is_role: bool = option("the role, if the name matches both", "--role", group="type")
    is_participant: bool = option(
        "the participant, if the name matches both", "--participant", group="type"
    )


class Command(OperatorCommand[ShowRoleArguments]):
    words = "role show"
    summary = "Show a role's holders, or a participant's roles"
    area, place = "people", 90
    permission = "VIEW"
    examples = (
        "scaiwave role show editors --tenant acme",
        "scaiwave role show anna@acme.example --tenant acme",
    )
    help = (
        "Show who holds a role, or which roles a participant holds: directly or through which "
        "groups, and who granted it when."
    )

    def run(self, given: ShowRoleArguments) -> None:
        kinds = {"role": given.is_role, "participant": given.is_participant}
        document = show_role(
            operator=self.operator,
            name=given.name,
            tenant=given.tenant,
            entity_type=next((kind for kind, is_given in kinds.items() if is_given), None),
        )
        if self.output.as_json:
            self.output.print_json(document)
        elif "role" in document:
            role = document["role"]
            is_described = bool(role["description"])
            self.output.print_record(
                [column for column in ROLE if is_described or column.key != "description"], role
            )
            grants = [{**row, "to": _format_grantee(row)} for row in role["grants"]]
            print_sections(
                self.output,
                ("Grants", GRANTS, grants),
                ("Holders", HOLDERS, format_role_path(role["holders"])),
            )
            if not role["holders"]:
                self.output.print_line()
                self.output.print_line("No one holds this role.")
        else:
            participant = document["participant"]
            self.output.print_record(
                PARTICIPANT, {**participant, "status": format_status(participant)}
            )
            print_sections(self.output, ("Roles", ROLES, format_role_path(participant["roles"])))
            if not participant["roles"]:
                self.output.print_line()
                self.output.print_line("This participant holds no roles.")


def _format_grantee(grant: Row) -> str:
    suffix = ", removed from ScaiKey" if grant["group_deactivated_at"] else ""
    return str(grant["participant"] or f"group {grant['group']}{suffix}")
