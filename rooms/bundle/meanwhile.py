"""Two things at once: making a piece, and working on the one before it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_background(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """What `work` makes of each item, in their order; an item's successor is made by then.

    The items are made by this thread, which alone may use its database; `work` runs in another,
    which pays where it is done in C that lets go of the interpreter. A single item needs no thread.
    """
    left = iter(items)
    yield from map(work, islice(left, 1))
    with ThreadPoolExecutor(1) as thread:
        under_way: Future[Result] | None = None
        for item in left:
            following = thread.submit(work, item)
            if under_way is not None:
                yield under_way.result()
            under_way = following
        if under_way is not None:
            yield under_way.result()
