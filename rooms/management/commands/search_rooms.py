from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.queries.search import search_rooms
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column, ColumnType
from tenants.management.output import positive_int

COLUMNS = (
    Column("sent_at", "Time", ColumnType.TIME),
    Column("room", "Room"),
    Column("sender", "Sender"),
    Column("snippet", "Message"),
)


class Command(OperatorCommand):
    help = "Find messages of a tenant by their words, all of which must be there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("text", metavar="TEXT", help="words; nothing in them is a wildcard")
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")
        parser.add_argument("--room", help="only in this room (id or alias)")
        parser.add_argument(
            "--limit", metavar="N", type=positive_int, default=20, help="no more than so many (20)"
        )

    def handle(self, text: str, tenant: str, **options: Any) -> None:
        found = search_rooms(
            operator=self.operator,
            text=text,
            tenant=tenant,
            room=options["room"],
            limit=options["limit"],
        )
        self.output.print_table("messages", COLUMNS, found)
