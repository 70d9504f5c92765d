from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.queries.roles import list_roles

COLUMNS = (
    Column("slug", "Slug"),
    Column("name", "Name"),
    Column("built_in", "Built in", ColumnType.FLAG),
    Column("participants", "Direct", ColumnType.COUNT),
    Column("groups", "Groups", ColumnType.COUNT),
    Column("holders", "Holders", ColumnType.COUNT),
)


class Command(OperatorCommand):
    help = (
        "List the roles of a tenant. Counts the grants to participants and to groups, and all "
        "active participants who hold the role directly or through groups."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant, by slug, ID or ScaiKey ID")

    def handle(self, tenant: str, **options: Any) -> None:
        roles = list_roles(operator=self.operator, tenant=tenant)
        self.output.print_table("roles", COLUMNS, roles)
