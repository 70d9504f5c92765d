from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.management.output import AUDIT_COLUMNS, format_membership_path, print_sections
from tenants.queries.groups import show_group

FACTS = (
    Column("name", "Name"),
    Column("tenant", "Tenant"),
    Column("type", "Type"),
    Column("status", "Status"),
    Column("id", "Id"),
    Column("scaikey_id", "ScaiKey id"),
    Column("active_people", "Active people", ColumnType.COUNT),
    Column("created_at", "Created", ColumnType.TIME),
)
NEIGHBOUR = (Column("name", "Group"), Column("id", "Id"))
MEMBERS = (
    Column("display_name", "Name"),
    Column("email", "E-mail"),
    Column("fqid", "FQID"),
    Column("status", "Status"),
    Column("way", "How"),
)
ROLES = (Column("slug", "Role"), Column("name", "Name"), Column("source", "Source"))


class Command(OperatorCommand):
    help = "Show one group: its members, direct and by way of other groups, and its roles."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("group", help="name, id, or ScaiKey id")
        parser.add_argument("--tenant", help="look in this tenant only")

    def handle(self, group: str, tenant: str | None, **options: Any) -> None:
        found = show_group(operator=self.operator, name=group, tenant=tenant)
        if self.output.as_json:
            self.output.print_json({"group": found})
            return
        self.output.print_record(FACTS, found)
        print_sections(
            self.output,
            ("Is in", NEIGHBOUR, found["member_of"]),
            ("Has in it", NEIGHBOUR, found["groups"]),
            ("Members", MEMBERS, format_membership_path(found["members"])),
            ("Roles", ROLES, found["roles"]),
            ("Last changes", AUDIT_COLUMNS, found["audit"]),
        )
