from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.queries.groups import GROUP_STATUSES, list_groups

COLUMNS = (
    Column("name", "Name"),
    Column("type", "Type"),
    Column("status", "Status"),
    Column("direct_people", "Direct people", ColumnType.COUNT),
    Column("direct_groups", "Direct groups", ColumnType.COUNT),
    Column("active_people", "Active people (total)", ColumnType.COUNT),
)


class Command(OperatorCommand):
    help = "List the groups of a tenant. The last column includes people in nested groups."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant, by slug, ID or ScaiKey ID")
        parser.add_argument(
            "--status",
            choices=GROUP_STATUSES,
            default="active",
            help="only with this status; absent means removed from ScaiKey (default active)",
        )

    def handle(self, tenant: str, status: str, **options: Any) -> None:
        groups = list_groups(operator=self.operator, tenant=tenant, status=status)
        self.output.print_table("groups", COLUMNS, groups)
