from __future__ import annotations

from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from tenants.accounts.queries import list_administrators


class Command(ListCommand):
    service = staticmethod(list_administrators)
    words = "admin list-administrators"
    summary = "List the accounts of the admin site"
    area, place = "server", 20
    permission = "VIEW_PLATFORM"
    plural = "administrators"
    columns = (
        Column("username", "Name", part=Part.KEY),
        *columns_of("email", "role"),
        Column("status", "Status", part=Part.STATUS),
        Column("can_sign_in", "Can sign in", ColumnType.FLAG),
        Column("last_sign_in_at", "Last sign-in", ColumnType.TIME),
        Column("created_at", "Created", ColumnType.TIME, part=Part.EXTRA),
    )
    keys = (
        *("id", "username", "email", "role", "status", "can_sign_in", "last_sign_in_at"),
        "created_at",
    )
    help = "List the accounts of the admin site, and who of them can sign in."
