from __future__ import annotations

from collections.abc import Iterable, Sequence

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from tenants.holds.queries import list_holds

LIFTED = (
    Column("lifted_at", "Lifted", ColumnType.TIME, part=Part.EXTRA),
    Column("lifted_by", "Lifted by", part=Part.EXTRA),
    Column("lift_reason", "Why lifted", part=Part.EXTRA),
)


class ListHoldsArguments(Arguments):
    tenant: str | None = option("only in this tenant (slug, ID or ScaiKey ID)")
    participant: str | None = option(
        "only on this participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)"
    )
    room: str | None = option("only on this room (ID, or with --tenant its alias)")
    lifted: bool = option("list lifted holds too")


class Command(ListCommand[ListHoldsArguments]):
    words = "admin hold list"
    summary = "List holds"
    area, place = "tenants", 180
    permission = "VIEW"
    examples = (
        "scaiwave admin hold list",
        "scaiwave admin hold list --tenant acme --lifted --json",
    )
    plural = "holds"
    columns = (
        Column("id", "ID", part=Part.KEY),
        Column("tenant", "Tenant"),
        Column("subject", "On", part=Part.NAME),
        Column("reason", "Reason", part=Part.STATUS),
        Column("placed_by", "Placed by", part=Part.EXTRA),
        Column("placed_at", "Placed", ColumnType.TIME, part=Part.EXTRA),
    )
    keys = (
        *("id", "tenant", "tenant_id", "participant", "participant_id", "room", "room_id"),
        *("reason", "placed_by", "placed_at", "lift_reason", "lifted_by", "lifted_at"),
    )
    paged = True
    help = "List the holds in force, the newest first."

    def get_columns(self, given: ListHoldsArguments) -> Sequence[Column]:
        return (*self.columns, *LIFTED) if given.lifted else self.columns

    def load_rows(self, given: ListHoldsArguments) -> Iterable[Row]:
        return list_holds(
            operator=self.operator,
            tenant=given.tenant,
            participant=given.participant,
            room=given.room,
            with_lifted=given.lifted,
            after=self.options.after,
            limit=self.options.limit,
        )

    def format_row(self, row: Row) -> Row:
        return {**row, "subject": row["room"] or row["room_id"] or row["participant"] or "tenant"}
