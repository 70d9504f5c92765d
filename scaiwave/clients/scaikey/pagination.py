"""Iterate over a paged list: pages in order, a few of them fetched ahead.

A list may report its total, or not; a server may cap `per_page`, so that a short page proves
nothing; records may move between pages while they are read. So reading ends at the reported total
or at an empty page, and keeps what a caller needs to judge whether it saw everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

from scaiwave.clients.http.prefetch import OrderedPrefetcher
from scaiwave.clients.scaikey.decoding import Page, UnusableRecord
from scaiwave.clients.scaikey.schemas import ScaiKeyRecord
from scaiwave.errors import UpstreamInvalidResponse

AnyRecord = TypeVar("AnyRecord", bound=ScaiKeyRecord)

MAX_PAGES = 100_000
"""Ten million records at 100 a page; what goes on longer goes in circles."""

MAX_READY_PAGES = 4
"""Pages that may wait for their turn, on top of those in flight: one slow page then does not
leave the other threads idle."""

FetchPage = Callable[[int, threading.Event], Page[AnyRecord]]


class PageIterator(Generic[AnyRecord]):
    """Iterate over it once; each step is the list of one page's usable records.

    Once exhausted: `pages` and `rows` count what came, `unusable` has the records that could not
    be read, `page_size` is the number of records on the first page. `reported_total` is what the
    server reported last (None if it never did), `truncated` whether an empty page came before that
    total, `totals_agree` whether every page reported the same and no more came, `ended_empty`
    whether the last page was an empty one.

    With `to_end` it ends at an empty page, whatever total is reported, or after a first page that
    is all there is by its own total.

    Leaving the loop ends the threads; `with` or `close()` does so at once when an exception
    keeps the loop's frame alive.
    """

    def __init__(
        self,
        fetch: FetchPage[AnyRecord],
        *,
        source: str,
        in_flight: int,
        max_pages: int = MAX_PAGES,
        to_end: bool = False,
    ) -> None:
        self.reported_total: int | None = None
        self.pages = 0
        self.rows = 0
        self.page_size = 0
        self.truncated = False
        self.totals_agree = True
        self.ended_empty = False
        self.unusable: list[UnusableRecord] = []
        self._source = source
        self._in_flight = in_flight
        self._max_pages = max_pages
        self._to_end = to_end
        self._prefetcher = OrderedPrefetcher(fetch, workers=in_flight, name="walk")
        self._fetch = fetch
        self._stop = threading.Event()
        self._submitted = 0
        self._reported_pages: int | None = None
        self._max_total: int | None = None
        self._min_total: int | None = None
        self._previous: tuple[object, ...] = ()
        self._sizes: set[int] = set()
        self._last_size = 0
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._stop.set()
        self._prefetcher.close()

    def __iter__(self) -> Iterator[list[AnyRecord]]:
        """Raises what fetching a page raises, and UpstreamInvalidResponse for an endless list."""
        if self._started:
            raise RuntimeError("a list can be iterated over once")
        self._started = True
        return self._iterate()

    @property
    def is_whole(self) -> bool:
        """Whether it was read to its end, every reported total is its count and each record was
        usable; what stands twice is the caller's to see. A single page needs no empty one behind it
        if its total says that it is all. Where no total is reported, pages must be of one size: a
        cap that changes between two pages hides the records between them.
        """
        totals = {self._min_total, self._max_total} - {None}
        if self.unusable or not totals <= {self.rows}:
            return False
        if totals:
            return self.ended_empty or self.pages == 1
        even = self._sizes <= {self.page_size} and self._last_size <= self.page_size
        return self.ended_empty and even

    def _iterate(self) -> Iterator[list[AnyRecord]]:
        try:
            page = self._fetch(1, self._stop)  # Here, so that a single page needs no thread.
            self._submitted = 1
            while self._add(page):
                self._submit_ahead()
                yield page.records
                if self._is_complete():
                    return
                page = self._prefetcher.take()
        finally:
            self.close()

    def _add(self, page: Page[AnyRecord]) -> bool:
        """Count a page; False if it is the empty one that ends the list."""
        if not page.count:
            self._record_end(page)
            return False
        self.pages += 1
        self._check_progress(page)
        self._record_total(page)
        self.rows += page.count
        self.unusable += page.unusable
        if self._max_total is not None and self.rows > self._max_total:
            self.totals_agree = False  # More came than was reported: only an empty page is an end.
        if self.pages == 1:
            self._reported_pages = page.pages
            self.page_size = page.count
        else:
            self._sizes.add(self._last_size)
        self._last_size = page.count
        return True

    def _record_end(self, page: Page[AnyRecord]) -> None:
        self.ended_empty = True
        if self.pages == 0:
            self._record_total(page)
            self._reported_pages = page.pages
        elif page.total is not None:
            self._widen_totals(page.total)
        short_of_rows = self.rows < (self.reported_total or 0)
        short_of_pages = self.reported_total is None and self.pages < (self._reported_pages or 0)
        self.truncated = short_of_rows or short_of_pages

    def _record_total(self, page: Page[AnyRecord]) -> None:
        if self.pages > 1 and page.total != self.reported_total:
            self.totals_agree = False
        if page.total is not None:
            self.reported_total = page.total
            self._widen_totals(page.total)

    def _widen_totals(self, total: int) -> None:
        self._max_total = total if self._max_total is None else max(total, self._max_total)
        self._min_total = total if self._min_total is None else min(total, self._min_total)

    def _check_progress(self, page: Page[AnyRecord]) -> None:
        ends: tuple[object, ...] = ()
        if page.records:
            ends = (page.records[0].key, page.records[-1].key, page.count)
        if ends and ends == self._previous:
            raise UpstreamInvalidResponse(
                f"ScaiKey answers pages {self.pages - 1} and {self.pages} of {self._source} with "
                "the same records.",
                fix="Report this to the operators of ScaiKey: it seems to ignore `page`. No "
                "changes were made.",
            )
        if self.pages > self._max_pages:
            raise UpstreamInvalidResponse(
                f"ScaiKey's {self._source} goes on after {self._max_pages} pages.",
                fix="Report this to the operators of ScaiKey: its list has no end. No changes were "
                "made.",
            )
        self._previous = ends

    def _is_complete(self) -> bool:
        if self._to_end:
            return self.pages == 1 and self._max_total == self.rows
        if self._max_total is not None:
            return self.rows == self._max_total
        return self._reported_pages is not None and self.pages >= self._reported_pages

    def _submit_ahead(self) -> None:
        last = self.pages + self._count_pages_left()
        while self._submitted < last and len(self._prefetcher) < self._in_flight + MAX_READY_PAGES:
            self._submitted += 1
            self._prefetcher.submit(self._submitted)

    def _count_pages_left(self) -> int:
        """How many more pages to expect; at least one while the list is not complete."""
        if self._is_complete():
            return 0
        if self._max_total is not None:
            return max(1, -(-(self._max_total - self.rows) // max(1, self.page_size)))
        if self._reported_pages is not None:
            return max(1, self._reported_pages - self.pages)
        return self.pages  # Nothing is known: guess that half of it is behind us.
