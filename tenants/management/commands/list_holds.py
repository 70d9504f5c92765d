from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any

from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from tenants.holds.queries import list_holds

LIFTED = (
    Column("lifted_at", "Lifted", ColumnType.TIME, part=Part.EXTRA),
    Column("lifted_by", "Lifted by", part=Part.EXTRA),
    Column("lift_reason", "Why lifted", part=Part.EXTRA),
)


class Command(ListCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only in this tenant (slug, ID or ScaiKey ID)")
        parser.add_argument(
            "--participant",
            help="only on this participant (e-mail address, @name:server, local ID, ID or ScaiKey "
            "ID)",
        )
        parser.add_argument("--room", help="only on this room (ID, or with --tenant its alias)")
        parser.add_argument("--lifted", action="store_true", help="list lifted holds too")

    def get_columns(self, **options: Any) -> Sequence[Column]:
        return (*self.columns, *LIFTED) if options["lifted"] else self.columns

    def load_rows(self, limit: int | None, **options: Any) -> Iterable[Row]:
        return list_holds(
            operator=self.operator,
            tenant=options["tenant"],
            participant=options["participant"],
            room=options["room"],
            with_lifted=options["lifted"],
            after=options["after"],
            limit=limit,
        )

    def format_row(self, row: Row) -> Row:
        return {**row, "subject": row["room"] or row["room_id"] or row["participant"] or "tenant"}
