"""Pages of a long list."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any
from uuid import UUID


class Page:
    """Rows, one at a time to save memory.

    `next_id` is the ID of the row to continue after, once all rows are read; None on the last page.
    """

    def __init__(self, rows: Generator[dict[str, Any], None, None], limit: int | None) -> None:
        """`rows` should have one row more than `limit`, which shows that there is a next page."""
        self._rows = rows
        self._limit = limit
        self.next_id: UUID | None = None

    def __iter__(self) -> Generator[dict[str, Any], None, None]:
        last_id = None
        with closing(self._rows):
            for number, row in enumerate(self._rows):
                if number == self._limit:
                    self.next_id = last_id
                    return
                last_id = row["id"]
                yield row


def one_more(limit: int | None) -> int | None:
    """Return how many rows a page reads."""
    return None if limit is None else limit + 1
