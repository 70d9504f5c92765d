from __future__ import annotations

from collections.abc import Iterable

from rooms.search.backlog import Backlog
from rooms.search.queries import search_rooms
from scaiwave.cli.arguments import ONLY_ROOM, ONLY_TENANT, Arguments, argument, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row, columns_of

COLUMNS = (
    Column("sent_at", "Time", ColumnType.TIME, part=Part.NAME),
    *columns_of("room", "sender"),
    Column("snippet", "Message", part=Part.NAME),
)


KEYS = (
    *("id", "room_id", "room", "sender_id", "sender", "sent_at", "stream_position", "snippet"),
    *("tenant_id", "tenant"),
)
MAX_RESULTS = 10_000
"""Messages among which --after finds its one."""


class SearchRoomsArguments(Arguments):
    text: str = argument("words to search for (no wildcards)", metavar="TEXT")
    tenant: str | None = option(ONLY_TENANT)
    room: str | None = option(ONLY_ROOM)


class Command(ListCommand[SearchRoomsArguments]):
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

    def load_rows(self, given: SearchRoomsArguments) -> Iterable[Row]:
        rows, self.backlog = search_rooms(
            operator=self.operator,
            text=given.text,
            tenant=given.tenant,
            room=given.room,
            limit=self.options.limit or MAX_RESULTS,
        )
        return rows

    def load_rest(self) -> Row:
        return {"unindexed": self.backlog.document()}

    def print_notes(self) -> None:
        if self.backlog:
            self.output.warn(f"{self.backlog}. `{self.backlog.command}` indexes them.")
        if self.backlog.has_imported:
            self.output.log("Imported messages are not searched.")
