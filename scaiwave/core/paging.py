"""Pages of a long list."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, nullcontext
from itertools import dropwhile, islice
from typing import Any

from scaiwave.core.errors import UsageError

UNKNOWN_ROW_FIX = (
    "Pass the `next_id` of a page with the same filters. If that row was deleted since, begin with "
    "the first page."
)


class Page:
    """Rows, one at a time to save memory.

    Once all are read, `number` counts them, and `next_id` is the ID of the row to continue after;
    None on the last page. `count` returns the number of rows of all pages, if that is cheap.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, object]],
        limit: int | None = None,
        *,
        count: Callable[[], int] | None = None,
    ) -> None:
        """`rows` should have one row more than `limit`, which shows that there is a next page."""
        self._rows = rows
        self._count = count
        self.limit = limit
        self.get_id: Callable[[Mapping[str, object]], object] = lambda row: row["id"]
        self.skip_to: object = None
        self.number = 0
        self.next_id: Any = None

    def __iter__(self) -> Generator[Any, None, None]:
        last_id = None
        # If the reader stops early, the cursor must be closed before the connection.
        with closing(self._rows) if isinstance(self._rows, Generator) else nullcontext():
            for row in self._find_rows():
                if self.number == self.limit:
                    self.next_id = last_id
                    return
                self.number += 1
                last_id = self.get_id(row)
                yield row

    def _find_rows(self) -> Iterable[Mapping[str, object]]:
        """Skip the rows up to `skip_to`. Raises UsageError if it is not among them."""
        if self.skip_to is None:
            return self._rows
        rest = dropwhile(lambda row: self.get_id(row) != self.skip_to, self._rows)
        if not list(islice(rest, 1)):
            raise UsageError(f"Not in this list: {self.skip_to}.", fix=UNKNOWN_ROW_FIX)
        return rest

    def load_total(self, *, is_first: bool) -> int | None:
        """Return the number of rows of all pages, once this one is read. None means unknown."""
        if is_first and self.next_id is None:
            return self.number
        return self._count() if self._count else None


def one_more(limit: int | None) -> int | None:
    """Return how many rows a page reads."""
    return None if limit is None else limit + 1
