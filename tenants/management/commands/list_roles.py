from __future__ import annotations

from typing import Any

from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from tenants.roles.queries.roles import list_roles

COLUMNS = (
    Column("slug", "Slug", part=Part.KEY),
    Column("name", "Name"),
    Column("built_in", "Built in", ColumnType.FLAG),
    Column("participants", "Direct", ColumnType.COUNT),
    Column("groups", "Groups", ColumnType.COUNT),
    Column("holders", "Holders", ColumnType.COUNT, Part.STATUS),
)


KEYS = (
    *("id", "slug", "name", "description", "built_in", "created_at", "tenant", "participants"),
    *("groups", "holders", "tenant_id"),
)


class ListRolesArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)


class Command(ListCommand[ListRolesArguments]):
    service = staticmethod(list_roles)
    words = "role list"
    summary = "List roles with the number of their holders"
    area, place = "people", 80
    permission = "VIEW"
    examples = ("scaiwave role list --tenant acme", "scaiwave role list --json")
    plural = "roles"
    columns = COLUMNS
    keys = KEYS
    parse_id = str
    across = True
    help = (
        "List the roles of a tenant, or of all tenants you may see. Counts the grants to "
        "participants and to groups, and all active participants who hold the role directly or "
        "through groups."
    )

    def load_rows(self, given: ListRolesArguments) -> Any:
        if given.tenant is None:
            self.output.log("Built-in roles without a grant are listed only with --tenant.")
        return super().load_rows(given)

    def get_id(self, row: Row) -> Any:
        return str(row["id"] or row["slug"])  # A built-in role that was never granted has no ID.
