"""Walks a paged collection: pages in order, a few of them fetched ahead.

A list may tell its total, or not; a server may cap `per_page`, so that a short page proves
nothing; rows may move between pages while we walk. So a walk ends at the reported total or at
an empty page, and keeps what a reader needs to judge whether it saw everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from scaiwave.clients.http.prefetch import OrderedPrefetcher
from scaiwave.clients.scaikey.decoding import Page
from scaiwave.clients.scaikey.schemas import ScaiKeyRecord
from scaiwave.errors import UpstreamInvalidResponse

AnyRow = TypeVar("AnyRow", bound=ScaiKeyRecord)

MAX_PAGES = 100_000
"""Ten million rows at 100 a page; whatever goes on longer goes in circles."""

KEPT_READY = 4
"""Pages that may wait for their turn, on top of those under way: one slow page then does not
leave the other threads idle."""

Fetch = Callable[[int, threading.Event], Page[AnyRow]]


class PageIterator(Generic[AnyRow]):
    """Iterate over it once; each step is the list of one page's rows.

    Once exhausted, `pages` and `rows` say what came, `reported_total` what the server said
    there is (the last page with rows decides; None if it never said), `truncated` whether an
    empty page came before that total, `totals_agree` whether every page said the same.

    Leaving the loop ends the threads; `with` or `close()` does so at once when an exception
    keeps the loop's frame alive.
    """

    def __init__(
        self, fetch: Fetch[AnyRow], *, called: str, in_flight: int, max_pages: int = MAX_PAGES
    ) -> None:
        self.reported_total: int | None = None
        self.pages = 0
        self.rows = 0
        self.truncated = False
        self.totals_agree = True
        self._called = called
        self._in_flight = in_flight
        self._max_pages = max_pages
        self._ahead = OrderedPrefetcher(fetch, workers=in_flight, name="walk")
        self._fetch = fetch
        self._stop = threading.Event()
        self._submitted = 0
        self._page_size = 1
        self._reported_pages: int | None = None
        self._largest_total: int | None = None
        self._previous: tuple[object, ...] = ()
        self._started = False

    def __enter__(self) -> PageIterator[AnyRow]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._stop.set()
        self._ahead.close()

    def __iter__(self) -> Iterator[list[AnyRow]]:
        """Raises what fetching a page raises, and UpstreamInvalidResponse for a walk in circles."""
        if self._started:
            raise RuntimeError("a walk can be iterated once")
        self._started = True
        return self._steps()

    def _steps(self) -> Iterator[list[AnyRow]]:
        try:
            page = self._fetch(1, self._stop)  # Here, so that a single page needs no thread.
            self._submitted = 1
            while self._take_in(page):
                self._submit_ahead()
                yield page.rows
                if self._is_complete():
                    return
                page = self._ahead.take()
        finally:
            self.close()

    def _take_in(self, page: Page[AnyRow]) -> bool:
        """Count a page in; False if it is the empty one that ends the walk."""
        if not page.rows:
            self._see_end(page)
            return False
        self.pages += 1
        self._check_progress(page)
        self._see_total(page)
        self.rows += len(page.rows)
        if self._largest_total is not None and self.rows > self._largest_total:
            self.totals_agree = False  # Less was told than came: only an empty page is an end.
        if self.pages == 1:
            self._reported_pages = page.pages
            self._page_size = len(page.rows)
        return True

    def _see_end(self, page: Page[AnyRow]) -> None:
        if self.pages == 0:
            self._see_total(page)
            self._reported_pages = page.pages
        short_of_rows = self.rows < (self.reported_total or 0)
        short_of_pages = self.reported_total is None and self.pages < (self._reported_pages or 0)
        self.truncated = short_of_rows or short_of_pages

    def _see_total(self, page: Page[AnyRow]) -> None:
        if self.pages > 1 and page.total != self.reported_total:
            self.totals_agree = False
        if page.total is not None:
            self.reported_total = page.total
            self._largest_total = max(page.total, self._largest_total or 0)

    def _check_progress(self, page: Page[AnyRow]) -> None:
        ends = (page.rows[0].key, page.rows[-1].key, len(page.rows))
        if ends == self._previous:
            raise UpstreamInvalidResponse(
                f"ScaiKey answers pages {self.pages - 1} and {self.pages} of {self._called} with "
                "the same rows.",
                fix="Report this to who runs ScaiKey: it seems to ignore `page`. Nothing was "
                "changed.",
            )
        if self.pages > self._max_pages:
            raise UpstreamInvalidResponse(
                f"ScaiKey's {self._called} goes on after {self._max_pages} pages.",
                fix="Report this to who runs ScaiKey: its list has no end. Nothing was changed.",
            )
        self._previous = ends

    def _is_complete(self) -> bool:
        if self._largest_total is not None:
            return self.rows == self._largest_total
        return self._reported_pages is not None and self.pages >= self._reported_pages

    def _submit_ahead(self) -> None:
        last = self.pages + self._pages_left()
        while self._submitted < last and len(self._ahead) < self._in_flight + KEPT_READY:
            self._submitted += 1
            self._ahead.submit(self._submitted)

    def _pages_left(self) -> int:
        """How many more pages to expect; at least one while the walk is not complete."""
        if self._is_complete():
            return 0
        if self._largest_total is not None:
            return max(1, -(-(self._largest_total - self.rows) // self._page_size))
        if self._reported_pages is not None:
            return self._reported_pages - self.pages
        return self.pages  # Nothing is known: guess that half of it is behind us.
