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
        "List the roles of a tenant: how often each is granted to participants directly and to "
        "groups, and how many active participants hold it in all, through nested groups too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")

    def handle(self, tenant: str, **options: Any) -> None:
        roles = list_roles(operator=self.operator, tenant=tenant)
        self.output.print_table("roles", COLUMNS, roles)
