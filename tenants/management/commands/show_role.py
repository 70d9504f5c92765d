from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import Output
from tenants.management.output import format_status, print_sections, with_paths
from tenants.queries.roles import show_role
from tenants.queries.serializers import Row

ROLE = (
    Column("slug", "Role"),
    Column("name", "Name"),
    Column("tenant", "Tenant"),
    Column("built_in", "Built in", ColumnType.FLAG),
    Column("id", "Id"),
    Column("created_at", "Created", ColumnType.TIME),
)
_GRANT = (
    Column("source", "Source"),
    Column("granted_by", "Granted by"),
    Column("created_at", "When", ColumnType.TIME, optional=True),
)
GRANTS = (Column("to", "Granted to", no_wrap=True), *_GRANT)
HOLDERS = (
    Column("display_name", "Name"),
    Column("fqid", "FQID", no_wrap=True),
    Column("status", "Status"),
    Column("way", "How"),
)
PARTICIPANT = (
    Column("display_name", "Name"),
    Column("email", "E-mail"),
    Column("fqid", "FQID"),
    Column("tenant", "Tenant"),
    Column("status", "Status"),
    Column("id", "Id"),
)
ROLES = (Column("slug", "Role"), Column("way", "How"), *_GRANT)


class Command(OperatorCommand):
    help = (
        "Show who holds a role, or which roles a participant holds, and why: directly or through "
        "which groups, where the grant comes from, who made it and when."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name",
            metavar="role-or-participant",
            help="a role's slug or id; or a participant's e-mail, @name:server, local id or id",
        )
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")
        what = parser.add_mutually_exclusive_group()
        for kind in ("role", "participant"):
            what.add_argument(
                f"--{kind}",
                dest="of",
                action="store_const",
                const=kind,
                help=f"the name is a {kind}'s, should there be both",
            )

    def handle(self, name: str, tenant: str, of: str | None, **options: Any) -> None:
        found = show_role(operator=self.operator, name=name, tenant=tenant, of=of)
        if self.output.as_json:
            self.output.print_json(found)
        elif "role" in found:
            _print_role(self.output, found["role"])
        else:
            _print_participant(self.output, found["participant"])


def _print_role(output: Output, role: Row) -> None:
    output.print_record(ROLE, role)
    grants = [{**row, "to": _format_grantee(row)} for row in role["grants"]]
    print_sections(
        output, ("Grants", GRANTS, grants), ("Holders", HOLDERS, with_paths(role["holders"]))
    )
    if not role["holders"]:
        output.print_line()
        output.print_line("Nobody holds it.")


def _print_participant(output: Output, participant: Row) -> None:
    output.print_record(PARTICIPANT, {**participant, "status": format_status(participant)})
    print_sections(output, ("Roles", ROLES, with_paths(participant["roles"])))
    if not participant["roles"]:
        output.print_line()
        output.print_line("They hold no role.")


def _format_grantee(grant: Row) -> str:
    gone = ", gone from ScaiKey" if grant["group_absent_since"] else ""
    return str(grant["participant"] or f"group {grant['group']}{gone}")
