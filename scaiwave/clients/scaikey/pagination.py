"""Iterate over a paginated list: pages in order, a few of them prefetched.

A list may report its total or not, and a server may cap `per_page`, so that a short page proves
nothing. Reading ends at the reported total or at an empty page. Records may move between pages
while they are read, so the iterator records the figures that show a caller whether the list is
complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.prefetch import OrderedPrefetcher
from scaiwave.clients.scaikey.decoding import RecordPage, UnusableRecord
from scaiwave.clients.scaikey.schemas import ScaiKeyRecord
from scaiwave.core.errors import UpstreamInvalidResponse, UpstreamNotFound

AnyRecord = TypeVar("AnyRecord", bound=ScaiKeyRecord)

MAX_PAGES = 100_000
"""Ten million records at 100 a page; a longer list repeats itself."""

MAX_LIST_SECONDS = 6 * 3600.0
"""Ten million records take about an hour; a list without an end must not block syncs for days."""

MAX_READY_PAGES = 16
"""Pages that may wait for their turn, besides those in flight, so that one slow page, or a caller
that is busy for a moment, does not leave the threads idle. A page has some 100 KB."""

FetchPage = Callable[[int, threading.Event], RecordPage[AnyRecord]]


class PageIterator(Generic[AnyRecord]):
    """Iterates once, and yields the usable records of each page as a list.

    At the end, `page_count` and `row_count` count the received pages and rows, `unusable` has the
    records that could not be read, and `page_size` is the number of records on the first page.
    `reported_total` is the total that the server reported last (None if it never did).
    `is_truncated` is true if an empty page came before that total, `totals_agree` if every page
    reported the same total and no more rows came, `ended_empty` if the last page was empty.

    With `to_end` reading ends at an empty page, whatever total is reported, or where the server has
    no page behind a list that matches its only total.

    Leaving the loop ends the threads. If an exception keeps the frame of the loop alive, `with` or
    `close()` ends them at once.
    """

    def __init__(
        self,
        fetch: FetchPage[AnyRecord],
        *,
        source: str,
        in_flight: int,
        max_pages: int = MAX_PAGES,
        max_seconds: float = MAX_LIST_SECONDS,
        to_end: bool = False,
    ) -> None:
        self.reported_total: int | None = None
        self.page_count = 0
        self.row_count = 0
        self.page_size = 0
        self.is_truncated = False
        self.totals_agree = True
        self.ended_empty = False
        self.unusable: list[UnusableRecord] = []
        self._source = source
        self._in_flight = in_flight
        self._max_pages = max_pages
        self._max_seconds = max_seconds
        self._started_at = 0.0
        self._to_end = to_end
        self._prefetcher = OrderedPrefetcher(fetch, workers=in_flight, name="pages")
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
        """Raise what fetching a page raises, and UpstreamInvalidResponse for an endless one."""
        if self._started:
            raise RuntimeError("a list can be iterated over once")
        self._started = True
        self._started_at = time.monotonic()
        return self._iterate()

    @property
    def is_complete(self) -> bool:
        """Whether the list was read to its end, matches its totals and has no unusable record.

        The caller must check for repeated records. A single page with a matching total needs no
        empty page after it. If no total is reported, all pages must have the same size: a cap that
        changes between two pages hides the records between them.
        """
        totals = {self._min_total, self._max_total} - {None}
        if self.unusable or not totals <= {self.row_count}:
            return False
        if totals:
            return self.ended_empty or self.page_count == 1
        same_size = self._sizes <= {self.page_size} and self._last_size <= self.page_size
        return self.ended_empty and same_size

    def _iterate(self) -> Iterator[list[AnyRecord]]:
        try:
            page = self._fetch(1, self._stop)  # A single page needs no thread.
            self._submitted = 1
            while self._add(page):
                last = self.page_count + self._count_pages_left()
                while (
                    self._submitted < last
                    and len(self._prefetcher) < self._in_flight + MAX_READY_PAGES
                ):
                    self._submitted += 1
                    self._prefetcher.submit(self._submitted)
                yield page.records
                if self._has_reached_end():
                    return
                try:
                    page = self._prefetcher.take()
                except (UpstreamNotFound, UpstreamRejected):
                    # Some servers respond so to a page behind the last one.
                    if not self._matches_total():
                        raise
                    self.ended_empty = True
                    return
        finally:
            self.close()

    def _add(self, page: RecordPage[AnyRecord]) -> bool:
        """Count a page; return False if it is the empty page that ends the list."""
        if not page.count:
            self.ended_empty = True
            if self.page_count == 0:
                self._record_total(page)
                self._reported_pages = page.pages
            elif page.total is not None:
                self._widen_totals(page.total)
            lacks_rows = self.row_count < (self.reported_total or 0)
            lacks_pages = self.page_count < (self._reported_pages or 0)
            self.is_truncated = lacks_rows or (self.reported_total is None and lacks_pages)
            return False
        # A page that begins and ends as the one before it is that one again.
        is_repeated = bool(page.records) and self._get_ends(page) == self._previous
        if self._to_end and self._matches_total() and is_repeated:
            self.ended_empty = True
            return False
        self.page_count += 1
        self._check_progress(page)
        self._record_total(page)
        self.row_count += page.count
        self.unusable += page.unusable
        if self._max_total is not None and self.row_count > self._max_total:
            self.totals_agree = False  # From now on only an empty page ends the list.
        if self.page_count == 1:
            self._reported_pages = page.pages
            self.page_size = page.count
        else:
            self._sizes.add(self._last_size)
        self._last_size = page.count
        return True

    def _record_total(self, page: RecordPage[AnyRecord]) -> None:
        if self.page_count > 1 and page.total != self.reported_total:
            self.totals_agree = False
        if page.total is not None:
            self.reported_total = page.total
            self._widen_totals(page.total)

    def _widen_totals(self, total: int) -> None:
        self._max_total = total if self._max_total is None else max(total, self._max_total)
        self._min_total = total if self._min_total is None else min(total, self._min_total)

    def _matches_total(self) -> bool:
        """Return whether all rows of the only total that was reported have been read."""
        return self._to_end and self._min_total == self._max_total == self.row_count

    @staticmethod
    def _get_ends(page: RecordPage[AnyRecord]) -> tuple[object, ...]:
        if not page.records:
            return ()
        return (page.records[0].key, page.records[-1].key, page.count)

    def _check_progress(self, page: RecordPage[AnyRecord]) -> None:
        ends = self._get_ends(page)
        if ends and ends == self._previous:
            raise UpstreamInvalidResponse(
                f"ScaiKey returned the same records for pages {self.page_count - 1} and "
                f"{self.page_count} of {self._source}.",
                fix="Report this to the operators of ScaiKey: it seems to ignore `page`.",
            )
        if self.page_count > self._max_pages:
            raise UpstreamInvalidResponse(
                f"ScaiKey's list {self._source} has more than {self._max_pages:,} pages.",
                fix="Report this to the operators of ScaiKey: the list has no end.",
            )
        if time.monotonic() - self._started_at > self._max_seconds:
            raise UpstreamInvalidResponse(
                f"ScaiKey's list {self._source} did not end within {self._max_seconds / 3600:g} "
                f"hours; {self.row_count:,} records were read.",
                fix="Report this to the operators of ScaiKey: the list is too slow, or has no end.",
            )
        self._previous = ends

    def _has_reached_end(self) -> bool:
        if self._to_end:
            return False
        if self._max_total is not None:
            return self.row_count == self._max_total
        return self._reported_pages is not None and self.page_count >= self._reported_pages

    def _count_pages_left(self) -> int:
        """Return how many more pages to expect; at least one before the end of the list."""
        if self._has_reached_end():
            return 0
        if self._max_total is not None:
            return max(1, -(-(self._max_total - self.row_count) // max(1, self.page_size)))
        if self._reported_pages is not None:
            return max(1, self._reported_pages - self.page_count)
        return self.page_count  # Nothing is known, so assume that half of the list has been read.
