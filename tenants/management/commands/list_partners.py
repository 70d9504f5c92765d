from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from tenants.lookup.status_filters import STATUSES
from tenants.management.output import STATUS_KEYS
from tenants.people.queries.partners import list_partners


class ListPartnersArguments(Arguments):
    status: str = option("only this status (default all)", choices=STATUSES, default="all")


class Command(ListCommand[ListPartnersArguments]):
    service = staticmethod(list_partners)
    words = "admin list-partners"
    summary = "List partners with their tenants"
    area, place = "tenants", 60
    permission = "VIEW"
    plural = "partners"
    columns = (
        Column("slug", "Slug", part=Part.KEY),
        Column("name", "Name", part=Part.NAME),
        Column("status", "Status", part=Part.STATUS),
        *columns_of("tenants", "max_tenants", "members", kind=ColumnType.COUNT),
        Column("scaikey_id", "ScaiKey ID", part=Part.EXTRA),
    )
    keys = (
        *("id", "slug", "name", "status", "reason", "scaikey_id", "contact_email"),
        *("max_tenants", "max_users_per_tenant", "max_applications_per_tenant", *STATUS_KEYS),
        *("tenants", "members"),
    )
    help = "List partners with their active tenants and active people."
