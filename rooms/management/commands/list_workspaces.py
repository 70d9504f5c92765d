from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from rooms.queries.workspaces import list_workspaces
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.queries.serializers import Row

COLUMNS = (
    Column("id", "ID", optional=True),
    Column("slug", "Slug"),
    Column("name", "Name", optional=True),
    Column("rooms", "Rooms", ColumnType.COUNT, optional=True),
    Column("owners", "Owners", ColumnType.COUNT, optional=True),
    Column("editors", "Editors", ColumnType.COUNT, optional=True),
    Column("viewers", "Viewers", ColumnType.COUNT, optional=True),
    Column("importers", "May import (--as)", no_wrap=True),
)
MAX_NAMED_IMPORTERS = 5


class Command(OperatorCommand):
    help = (
        "List the workspaces of a tenant. The last column names active owners and editors, as "
        "accepted by `scaiwave room import --as`; --json lists all of them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")

    def handle(self, tenant: str, **options: Any) -> None:
        workspaces = list_workspaces(operator=self.operator, tenant=tenant)
        if not self.output.as_json:
            workspaces = [
                {**row, "importers": _format_importers(row["may_import"])} for row in workspaces
            ]
        self.output.print_table("workspaces", COLUMNS, workspaces)


def _format_importers(importers: Sequence[Row]) -> list[str]:
    names = [str(person["fqid"]) for person in importers[:MAX_NAMED_IMPORTERS]]
    more = len(importers) - len(names)
    return [*names, f"and {more:,} more"] if more else names
