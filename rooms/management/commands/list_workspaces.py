from __future__ import annotations

from rooms.workspaces.queries import list_workspaces
from scaiwave.cli.arguments import TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row, columns_of

COLUMNS = (
    Column("id", "ID", part=Part.EXTRA),
    Column("slug", "Slug", part=Part.KEY),
    Column("name", "Name", part=Part.EXTRA),
    *columns_of("rooms", "owners", "editors", "viewers", kind=ColumnType.COUNT, part=Part.EXTRA),
    Column("importers", "May import (--as)", part=Part.STATUS),
)
MAX_NAMED_IMPORTERS = 5


KEYS = (
    *("id", "slug", "name", "description", "tenant_id", "created_at", "updated_at", "rooms"),
    *("owners", "editors", "viewers", "importers"),
)


class ListWorkspacesArguments(Arguments):
    tenant: str = option(TENANT, required=True)


class Command(ListCommand[ListWorkspacesArguments]):
    service = staticmethod(list_workspaces)
    words = "room workspaces"
    summary = "List workspaces and who may import to them"
    area, place = "rooms", 40
    permission = "VIEW"
    examples = ("scaiwave room workspaces --tenant acme",)
    plural = "workspaces"
    columns = COLUMNS
    keys = KEYS
    help = (
        "List the workspaces of a tenant. The last column names active owners and editors, as "
        "accepted by `scaiwave room import --as`; --json lists all of them."
    )

    def format_row(self, row: Row) -> Row:
        importers = row["importers"]
        names = [str(person["fqid"]) for person in importers[:MAX_NAMED_IMPORTERS]]
        if more := len(importers) - len(names):
            names.append(f"and {more:,} more")
        return {**row, "importers": names}

    def format_csv_row(self, row: Row) -> Row:
        return {**row, "importers": [person["fqid"] for person in row["importers"]]}
