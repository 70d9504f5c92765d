from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from rooms.search.queries import search_rooms
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Row

COLUMNS = (
    Column("sent_at", "Time", ColumnType.TIME),
    Column("room", "Room"),
    Column("sender", "Sender"),
    Column("snippet", "Message"),
)


KEYS = (*("id", "room_id", "room", "sender_id", "sender", "sent_at", "stream_position", "snippet"),)


class Command(ListCommand):
    words = "room search"
    area, place = "rooms", 50
    permission = "VIEW"
    examples = (
        'scaiwave room search "launch date" --tenant acme',
        "scaiwave room search invoice --tenant acme --room lobby --limit 5 --json",
    )
    plural = "messages"
    columns = COLUMNS
    keys = KEYS
    default_limit = 20
    help = "Search a tenant's messages. A message must contain every word of the search text."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("text", metavar="TEXT", help="words to search for (no wildcards)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--room", help="only messages in this room (ID or alias)")

    def load_rows(self, text: str, tenant: str, limit: int, **options: Any) -> Iterable[Row]:
        return search_rooms(
            operator=self.operator,
            text=text,
            tenant=tenant,
            room=options["room"],
            limit=limit,
        )
