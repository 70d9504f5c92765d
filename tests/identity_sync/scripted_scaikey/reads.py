"""What complete reads of a list omitted, so that no client could detect it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tests.identity_sync.scripted_scaikey.pages import ServedPage


def find_omitted_members(served: list[ServedPage], members: set[str]) -> set[str]:
    """Return the members that two complete reads with different page sizes omitted.

    No client with these responses could detect that they are still members. A read is complete if
    it continues to an empty page, repeats no one, and each reported total is the number of rows.
    Its page size is that of the returned pages, not the requested one: two reads whose pages are
    capped equally are the same read twice.
    """
    complete = [read for read in _split_reads(served) if _is_complete(read)]
    omitted: set[str] = set()
    for first, second in combinations(complete, 2):
        if _get_page_size(first) != _get_page_size(second):
            omitted |= members - _collect_keys(first).union(_collect_keys(second))
    return omitted


def _split_reads(served: list[ServedPage]) -> Iterator[list[ServedPage]]:
    read: list[ServedPage] = []
    for page in served:
        if page.page == 1 and read:
            yield read
            read = []
        read.append(page)
    yield read


def _is_complete(read: list[ServedPage]) -> bool:
    pages = {page.page: page for page in read}
    end = next((number for number in range(1, len(read) + 1) if not _has_rows(pages, number)), None)
    if end is None or end not in pages:
        return False
    whole = [pages[number] for number in range(1, end + 1)]
    row_count = sum(len(page.keys) for page in whole)
    totals = {page.total for page in whole} - {None}
    return row_count == len(_collect_keys(whole)) and totals <= {row_count}


def _has_rows(pages: dict[int, ServedPage], page: int) -> bool:
    return page in pages and bool(pages[page].keys)


def _get_page_size(read: list[ServedPage]) -> int:
    return max(len(page.keys) for page in read)


def _collect_keys(read: list[ServedPage]) -> set[str]:
    return {key for page in read for key in page.keys}
