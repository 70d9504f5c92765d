"""One role and who holds it, or one participant and what they hold, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from scaiwave.console.output import Column, ColumnType, Output
from tenants.management.commands._tenant import format_status
from tenants.management.output import show_sections
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
    Column("created_at", "When", ColumnType.TIME, spare=True),
)
GRANTS = (Column("to", "Granted to", whole=True), *_GRANT)
HOLDERS = (
    Column("display_name", "Name"),
    Column("fqid", "FQID", whole=True),
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


def show_role_holders(output: Output, role: Row) -> None:
    output.print_record(ROLE, role)
    grants = [{**row, "to": _granted_to(row)} for row in role["grants"]]
    show_sections(
        output, ("Grants", GRANTS, grants), ("Holders", HOLDERS, with_paths(role["holders"]))
    )
    if not role["holders"]:
        output.print_line()
        output.print_line("Nobody holds it.")


def show_participant_roles(output: Output, participant: Row) -> None:
    output.print_record(PARTICIPANT, {**participant, "status": format_status(participant)})
    show_sections(output, ("Roles", ROLES, with_paths(participant["roles"])))
    if not participant["roles"]:
        output.print_line()
        output.print_line("They hold no role.")


def _granted_to(grant: Row) -> str:
    gone = ", gone from ScaiKey" if grant["group_absent_since"] else ""
    return str(grant["participant"] or f"group {grant['group']}{gone}")


def with_paths(rows: Sequence[Row]) -> list[Row]:
    """From the group a person is in to the one that has the role, each in the next."""
    return [
        {**row, "way": f"through {' > '.join(row['path'])}" if row["path"] else "directly"}
        for row in rows
    ]
