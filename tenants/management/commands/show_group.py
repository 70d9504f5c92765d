from __future__ import annotations

from scaiwave.cli.arguments import ONLY_TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from tenants.management.output import AUDIT_COLUMNS, format_membership_path, print_sections
from tenants.people.queries.groups import show_group

FACTS = (
    *columns_of("name", "tenant", "type", "status", "id", "scaikey_id"),
    Column("active_people", "Active people", ColumnType.COUNT),
    Column("created_at", "Created", ColumnType.TIME),
)
NEIGHBOUR = (Column("name", "Group"), Column("id", "ID"))
MEMBERS = (
    Column("display_name", "Name"),
    Column("email", "E-mail"),
    Column("fqid", "FQID", part=Part.KEY),
    Column("status", "Status"),
    Column("way", "How"),
)
ROLES = (Column("slug", "Role"), *columns_of("name", "source"))


class ShowGroupArguments(Arguments):
    group: str = argument("group (name, ID or ScaiKey ID)")
    tenant: str | None = option(ONLY_TENANT)


class Command(OperatorCommand[ShowGroupArguments]):
    words = "admin show-group"
    summary = "Show a group and its members"
    area, place = "people", 70
    permission = "VIEW"
    examples = ("scaiwave admin show-group Engineering --tenant acme",)
    help = "Show a group with its direct and indirect members, and its roles."

    def run(self, given: ShowGroupArguments) -> None:
        document = show_group(operator=self.operator, name=given.group, tenant=given.tenant)
        if self.output.as_json:
            self.output.print_json({"group": document})
            return
        self.output.print_record(FACTS, document)
        print_sections(
            self.output,
            ("Member of", NEIGHBOUR, document["member_of"]),
            ("Nested groups", NEIGHBOUR, document["groups"]),
            ("Members", MEMBERS, format_membership_path(document["members"])),
            ("Roles", ROLES, document["roles"]),
            ("Recent changes", AUDIT_COLUMNS, document["audit_entries"]),
        )
