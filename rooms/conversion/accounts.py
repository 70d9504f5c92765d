"""Count the rows of each file of a source, and the outcome of each row.

What is read is counted where rows come from, and the outcome where they go to. So a row that is
lost in between is found: `check` compares the two.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from rooms.errors import ConversionIncomplete


class Place(NamedTuple):
    """Where something is in the source: the number of a file, and of a row in it."""

    file: int
    row: int


KINDS = ("messages", "reactions", "attachments", "people", "rooms", "other")


class RowKind:
    """The indexes of `KINDS`."""

    MESSAGES, REACTIONS, ATTACHMENTS, PEOPLE, ROOMS, OTHER = range(len(KINDS))


OUTCOMES = ("read", "written", "merged", "reported")
READ, WRITTEN, MERGED, REPORTED = range(len(OUTCOMES))
_CELLS = len(KINDS) * len(OUTCOMES)
_MAX_EXAMPLE_CHARS = 300


class Accounts:
    """Counters by file, kind and outcome.

    `reported` are rows that no bundle contains, by kind and reason; `notes` are rows that lost
    something on the way into a bundle. Both map to a number and an example.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.reported: dict[tuple[str, str], list[Any]] = {}
        self.notes: dict[str, list[Any]] = {}
        self._counts = array("Q")

    def add_file(self, name: str) -> int:
        """Return the number of a file of the source."""
        self.names.append(name)
        self._counts.extend(bytes(_CELLS))
        return len(self.names) - 1

    def count(self, file: int, kind: int, outcome: int, number: int = 1) -> None:
        self._counts[file * _CELLS + kind * len(OUTCOMES) + outcome] += number

    def report(self, place: Place, kind: int, loss: str, number: int = 1) -> None:
        """Count rows that were read before, and that no bundle will contain."""
        self.count(place.file, kind, REPORTED, number)
        self._add(self.reported, (KINDS[kind], loss), place, number)

    def lose(self, place: Place, kind: int, loss: str, number: int = 1) -> None:
        """Count rows as read and as reported."""
        self.count(place.file, kind, READ, number)
        self.report(place, kind, loss, number)

    def note(self, place: Place, loss: str, number: int = 1) -> None:
        self._add(self.notes, loss, place, number)

    def _add(self, losses: dict[Any, list[Any]], key: Any, place: Place, number: int) -> None:
        if (entry := losses.get(key)) is not None:
            entry[0] += number
        else:
            example = self.names[place.file] + (f"#{place.row:,}" if place.row else "")
            losses[key] = [number, example[:_MAX_EXAMPLE_CHARS]]

    def iter_files(self) -> Iterator[dict[str, Any]]:
        """Yield the counts of each file that has any."""
        for number, name in enumerate(self.names):
            if any(cells := self._get_cells(number)):
                yield {"file": name} | {
                    label: dict(zip(OUTCOMES, _cut(cells, kind), strict=True))
                    for kind, label in enumerate(KINDS)
                    if any(_cut(cells, kind))
                }

    def get_totals(self) -> dict[str, dict[str, int]]:
        cells = [sum(self._counts[cell::_CELLS]) for cell in range(_CELLS)]
        return {
            kind: dict(zip(OUTCOMES, _cut(cells, n), strict=True)) for n, kind in enumerate(KINDS)
        }

    def check(self) -> None:
        """Raises `ConversionIncomplete` unless read = written + merged + reported everywhere."""
        for number, name in enumerate(self.names):
            cells = self._get_cells(number)
            for kind, label in enumerate(KINDS):
                read, *outcomes = _cut(cells, kind)
                if read != sum(outcomes):
                    raise ConversionIncomplete(
                        f"{name} has {read:,} {label}, of which {sum(outcomes):,} are accounted "
                        "for."
                    )

    def _get_cells(self, number: int) -> array[int]:
        return self._counts[number * _CELLS : (number + 1) * _CELLS]


def _cut(cells: Any, kind: int) -> Any:
    return cells[kind * len(OUTCOMES) : (kind + 1) * len(OUTCOMES)]
