from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from rooms.search.backlog import Backlog
from rooms.search.queries import search_rooms
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row

COLUMNS = (
    Column("sent_at", "Time", ColumnType.TIME, part=Part.NAME),
    Column("room", "Room"),
    Column("sender", "Sender"),
    Column("snippet", "Message", part=Part.NAME),
)


KEYS = (
    *("id", "room_id", "room", "sender_id", "sender", "sent_at", "stream_position", "snippet"),
    *("tenant_id", "tenant"),
)
MAX_RESULTS = 10_000
"""Messages among which --after finds its one."""


class Command(ListCommand):
    words = "room search"
    summary = "Search messages of a tenant, or of all"
    area, place = "rooms", 50
    permission = "VIEW"
    examples = (
        'scaiwave room search "launch date"',
        "scaiwave room search invoice --tenant acme --room lobby --limit 5 --json",
    )
    plural = "messages"
    columns = COLUMNS
    keys = KEYS
    default_limit = 20
    backlog: Backlog
    across = True
    help = (
        "Search the messages of a tenant, or of all tenants you may see. A message must contain "
        "every word of the search text."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("text", metavar="TEXT", help="words to search for (no wildcards)")
        add("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        add("--room", help="only this room of the tenant (ID or alias)")

    def load_rows(
        self, text: str, tenant: str | None, limit: int | None, **options: Any
    ) -> Iterable[Row]:
        rows, self.backlog = search_rooms(
            operator=self.operator,
            text=text,
            tenant=tenant,
            room=options["room"],
            limit=limit or MAX_RESULTS,
        )
        return rows

    def load_rest(self) -> Row:
        return {"unindexed": self.backlog.document()}

    def print_notes(self) -> None:
        if self.backlog:
            self.output.warn(f"{self.backlog}. `{self.backlog.command}` indexes them.")
        if self.backlog.has_imported:
            self.output.log("Imported messages are not searched.")
