from __future__ import annotations

from scaiwave.cli.arguments import TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from tenants.people.queries.groups import GROUP_STATUSES, list_groups


class ListGroupsArguments(Arguments):
    tenant: str = option(TENANT, required=True)
    status: str = option(
        "only this status; deactivated means removed from ScaiKey (default active)",
        choices=GROUP_STATUSES,
        default="active",
    )


class Command(ListCommand[ListGroupsArguments]):
    service = staticmethod(list_groups)
    words = "admin list-groups"
    summary = "List groups of a tenant"
    area, place = "people", 60
    permission = "VIEW"
    examples = ("scaiwave admin list-groups --tenant acme",)
    plural = "groups"
    columns = (
        Column("name", "Name", part=Part.NAME),
        Column("type", "Type"),
        Column("status", "Status", part=Part.STATUS),
        *columns_of("direct_people", "direct_groups", kind=ColumnType.COUNT),
        Column("active_people", "Active people (total)", ColumnType.COUNT),
    )
    keys = (
        *("id", "name", "type", "status", "reason", "tenant_id", "scaikey_id", "deactivated_at"),
        *("created_at", "updated_at", "direct_people", "direct_groups", "active_people"),
    )
    paged = True
    help = "List the groups of a tenant. The last column includes people in nested groups."
