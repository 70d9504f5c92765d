from __future__ import annotations

from rooms.retention.policies import show_retention
from scaiwave.cli.arguments import TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part

COLUMNS = (
    Column("scope", "Of"),
    Column("tenant", "Tenant", part=Part.KEY),
    Column("room_name", "Room", part=Part.NAME),
    Column("rule", "Retention", part=Part.STATUS),
    Column("last_run_at", "Last run", ColumnType.TIME),
)


class ShowRetentionArguments(Arguments):
    tenant: str | None = option(TENANT)
    room: str | None = option("room of the tenant (ID or alias)")


class Command(OperatorCommand[ShowRetentionArguments]):
    words = "admin retention show"
    summary = "List retention policies"
    area, place = "rooms", 132
    permission = "VIEW"
    examples = (
        "scaiwave admin retention show",
        "scaiwave admin retention show --tenant acme --room lobby",
    )
    help = "List the retention policies, or show the one that counts for a tenant or a room."

    def run(self, given: ShowRetentionArguments) -> None:
        rows = show_retention(operator=self.operator, tenant=given.tenant, room=given.room)
        if not self.output.as_json:
            rows = [{**row, "room_name": row["room"] and row["room"]["name"]} for row in rows]
        self.output.print_table("policies", COLUMNS, rows)
