from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rooms.queries.search import search_rooms
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from tenants.management.arguments import positive_int

COLUMNS = (
    Column("sent_at", "Time", ColumnType.TIME),
    Column("room", "Room"),
    Column("sender", "Sender"),
    Column("snippet", "Message"),
)


class Command(OperatorCommand):
    help = "Search a tenant's messages. A message must contain every word of the search text."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("text", metavar="TEXT", help="words to search for (no wildcards)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--room", help="only messages in this room (ID or alias)")
        add(
            "--limit",
            metavar="N",
            type=positive_int,
            default=20,
            help="maximum number of messages (default 20)",
        )

    def handle(self, text: str, tenant: str, **options: Any) -> None:
        messages = search_rooms(
            operator=self.operator,
            text=text,
            tenant=tenant,
            room=options["room"],
            limit=options["limit"],
        )
        self.output.print_table("messages", COLUMNS, messages)
