"""What the readers of all systems have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rooms.conversion.accounts import Accounts, Place, RowKind
from rooms.conversion.json_rows import RowReader
from rooms.conversion.model import MESSAGE, Portion, Reaction, SourceEvent, SourcePerson, SourceRoom
from rooms.conversion.source_files import SourceFiles


class Reader(RowReader):
    """Reads the exports of one system. `workspace` is unique among the sources of the system.

    `people` and `rooms` are by ID, and may grow while portions are read.
    """

    system: str

    def __init__(
        self, files: SourceFiles, accounts: Accounts, *, only: frozenset[str], workspace: str
    ) -> None:
        """Read the people and rooms. Raises `SourceUnreadable` if this is not such an export."""
        super().__init__(files, accounts)
        self.workspace = workspace
        self.people: dict[str, SourcePerson] = {}
        self.rooms: dict[str, SourceRoom] = {}
        self._only = only
        self._open()
        self.workspace = self.workspace or self.system

    def _open(self) -> None:
        raise NotImplementedError

    def iter_portions(self) -> Iterator[Portion]:
        """Yield portions, to be read one after the other."""
        raise NotImplementedError

    def _get_name(self, person: str) -> str:
        return self.people[person].name if person in self.people else ""

    def _get_channel(self, room: str) -> str:
        return self.rooms[room].name if room in self.rooms else ""

    def _select(
        self, room: SourceRoom, rows: Iterable[tuple[Place, Any]]
    ) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Yield the messages of a room to convert, and report the others."""
        is_selected = room.matches(self._only)
        for place, row in rows:
            if not isinstance(row, dict):
                self._accounts.report(place, RowKind.MESSAGES, "message that is not an object")
            elif not is_selected:
                self._accounts.report(place, RowKind.MESSAGES, "message that --only leaves out")
            else:
                yield place, row

    def _show_emoji(self, place: Place, name: str, emoji: str | None, number: int = 1) -> str:
        if emoji is None:
            self._accounts.note(place, "custom or unknown emoji, carried as its name", number)
        return emoji or f":{name}:"

    def _build_reactions(
        self, place: Place, emoji: str, people: list[str], count: object
    ) -> list[Reaction]:
        """Return the reactions with an emoji, and report those whose people are unknown."""
        if isinstance(count, int) and count > len(people):
            loss = "reaction without its author"
            self._accounts.lose(place, RowKind.REACTIONS, loss, min(count, 1_000_000) - len(people))
        return [Reaction(emoji, person) for person in people]

    def _note_emptiness(self, event: SourceEvent) -> None:
        if not event.body and not event.files and event.kind == MESSAGE:
            self._accounts.note(event.place, "message without a text")
