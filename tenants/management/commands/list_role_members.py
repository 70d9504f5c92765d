from __future__ import annotations

from scaiwave.cli.arguments import ONLY_TENANT, ROLE, Arguments, argument, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from tenants.management.output import STATUS_KEYS, format_role_path
from tenants.roles.queries.roles import list_role_members


class ListRoleMembersArguments(Arguments):
    name: str = argument(ROLE, metavar="role")
    tenant: str | None = option(ONLY_TENANT)


class Command(ListCommand[ListRoleMembersArguments]):
    service = staticmethod(list_role_members)
    words = "role members"
    summary = "List who holds a role, in one tenant or in all"
    area, place = "people", 85
    permission = "VIEW"
    examples = ("scaiwave role members super_admin", "scaiwave role members editors --tenant acme")
    plural = "members"
    columns = (
        Column("tenant", "Tenant", part=Part.KEY),
        Column("display_name", "Name", part=Part.NAME),
        Column("fqid", "FQID", part=Part.KEY),
        Column("status", "Status", part=Part.STATUS),
        Column("way", "How"),
        Column("granted_by", "Granted by", part=Part.EXTRA),
        Column("granted_at", "Granted", ColumnType.TIME, part=Part.EXTRA),
    )
    keys = (
        *("id", "fqid", "display_name", "email", "type", "status", "reason", "tenant_id"),
        *("scaikey_id", "local_id", *STATUS_KEYS, "purged_at", "group", "path", "source"),
        *("granted_by", "granted_at", "tenant", "role", "role_id"),
    )
    help = (
        "List the participants who hold a role, directly or through groups, inactive ones too. "
        "Without --tenant, list the holders in every tenant you may see."
    )

    def format_row(self, row: Row) -> Row:
        return format_role_path([dict(row)])[0]
