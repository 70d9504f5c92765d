from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part
from tenants.lookup.serializers import Row
from tenants.management.output import format_role_path, format_status, print_sections
from tenants.roles.queries.roles import show_role

ROLE = (
    Column("slug", "Role"),
    Column("name", "Name"),
    Column("description", "Description"),
    Column("tenant", "Tenant"),
    Column("built_in", "Built in", ColumnType.FLAG),
    Column("id", "ID"),
    Column("created_at", "Created", ColumnType.TIME),
)
_GRANT = (
    Column("source", "Source"),
    Column("granted_by", "Granted by"),
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
    Column("email", "E-mail"),
    Column("fqid", "FQID"),
    Column("tenant", "Tenant"),
    Column("status", "Status"),
    Column("id", "ID"),
)
ROLES = (Column("slug", "Role"), Column("way", "How"), *_GRANT)


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name",
            metavar="role-or-participant",
            help="role (slug or ID), or participant (e-mail address, @name:server, local "
            "ID, ID or ScaiKey ID)",
        )
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        choice = parser.add_mutually_exclusive_group()
        for entity_type in ("role", "participant"):
            choice.add_argument(
                f"--{entity_type}",
                dest="entity_type",
                action="store_const",
                const=entity_type,
                help=f"the {entity_type}, if the name matches both",
            )

    def handle(self, name: str, tenant: str, entity_type: str | None, **options: Any) -> None:
        document = show_role(
            operator=self.operator, name=name, tenant=tenant, entity_type=entity_type
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
