from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.management.output import (
    AUDIT_COLUMNS,
    format_membership_path,
    format_status,
    print_sections,
    with_paths,
)
from tenants.queries.participants import show_participant
from tenants.queries.serializers import Row

FACTS = (
    Column("may_sign_in", "May sign in", ColumnType.FLAG),
    Column("display_name", "Name"),
    Column("email", "E-mail"),
    Column("fqid", "FQID"),
    Column("type", "Type"),
    Column("tenant", "Tenant"),
    Column("status", "Status"),
    Column("id", "Id"),
    Column("scaikey_id", "ScaiKey id"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
OBSTACLES = (
    Column("reason", "Why not"),
    Column("since", "Since", ColumnType.TIME),
    Column("fix", "What to do"),
)
GROUPS = (Column("name", "Group"), Column("type", "Type"), Column("way", "How"))
ROLES = (
    Column("slug", "Role"),
    Column("way", "How"),
    Column("source", "Source"),
    Column("granted_by", "Granted by"),
)
ELSEWHERE = (
    Column("fqid", "FQID"),
    Column("tenant", "Tenant"),
    Column("email", "E-mail"),
    Column("status", "Status"),
)


class Command(OperatorCommand):
    help = "Show one participant: may they sign in, and if not why; groups, roles, changes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("participant", help="e-mail, @name:server, local id, id, or ScaiKey id")
        parser.add_argument("--tenant", help="look in this tenant only")

    def handle(self, participant: str, tenant: str | None, **options: Any) -> None:
        found = show_participant(operator=self.operator, name=participant, tenant=tenant)
        if self.output.as_json:
            self.output.print_json({"participant": found})
            return
        told, row = _add_extra_facts(found)
        self.output.print_record([*FACTS, *told], row)
        print_sections(
            self.output,
            ("In the way", OBSTACLES, found["obstacles"]),
            ("Groups", GROUPS, format_membership_path(found["groups"])),
            ("Roles", ROLES, with_paths(found["roles"])),
            ("The same user or e-mail elsewhere", ELSEWHERE, found["elsewhere"]),
            ("Last changes", AUDIT_COLUMNS, found["audit"]),
        )


def _add_extra_facts(participant: Row) -> tuple[list[Column], Row]:
    """The columns of what other applications tell, and the row with their values in it."""
    facts = {f"fact {index}": fact for index, fact in enumerate(participant["facts"])}
    columns = [Column(key, fact["title"]) for key, fact in facts.items()]
    values = {key: fact["value"] for key, fact in facts.items()}
    return columns, {**participant, "status": format_status(participant), **values}
