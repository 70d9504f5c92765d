from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.queries.partners import list_partners
from tenants.queries.status_filters import STATUSES

COLUMNS = (
    Column("slug", "Slug"),
    Column("name", "Name"),
    Column("status", "Status"),
    Column("tenants", "Tenants", ColumnType.COUNT),
    Column("max_tenants", "Max tenants", ColumnType.COUNT),
    Column("members", "Members", ColumnType.COUNT),
    Column("scaikey_id", "ScaiKey ID", no_wrap=True, optional=True),
)


class Command(OperatorCommand):
    help = "List partners with their active tenants and active people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--status", choices=STATUSES, default="all", help="only with this status (default all)"
        )

    def handle(self, status: str, **options: Any) -> None:
        partners = list_partners(operator=self.operator, status=status)
        self.output.print_table("partners", COLUMNS, partners)
