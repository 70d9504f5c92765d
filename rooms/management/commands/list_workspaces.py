from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from rooms.queries.workspaces import list_workspaces
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column, ColumnType
from tenants.queries.serializers import Row

COLUMNS = (
    Column("id", "Id", spare=True),
    Column("slug", "Slug"),
    Column("name", "Name", spare=True),
    Column("rooms", "Rooms", ColumnType.COUNT, spare=True),
    Column("owners", "Owners", ColumnType.COUNT, spare=True),
    Column("editors", "Editors", ColumnType.COUNT, spare=True),
    Column("viewers", "Viewers", ColumnType.COUNT, spare=True),
    Column("who", "May import (--as)", whole=True),
)
MOST_NAMED = 5


class Command(OperatorCommand):
    help = (
        "List the workspaces of a tenant. The last column names active owners and editors, "
        "as `scaiwave room import --as` takes them; --json names them all."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")

    def handle(self, tenant: str, **options: Any) -> None:
        workspaces = list_workspaces(operator=self.operator, tenant=tenant)
        if not self.output.as_json:
            workspaces = [{**row, "who": _named(row["may_import"])} for row in workspaces]
        self.output.print_table("workspaces", COLUMNS, workspaces)


def _named(importers: Sequence[Row]) -> list[str]:
    names = [str(person["fqid"]) for person in importers[:MOST_NAMED]]
    more = len(importers) - len(names)
    return [*names, f"and {more:,} more"] if more else names
