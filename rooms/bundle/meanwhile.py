"""Two things at once: making a piece, and working on another.

It pays where one of the two is done in C that lets go of the interpreter, or by a server.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def meanwhile(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """What `work` makes of each item, in their order; an item's successor is made by then.

    The items are made by this thread, which alone may use its database; `work` runs in another.
    A single item needs no thread.
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


def ahead(items: Generator[Item]) -> Generator[Item]:
    """The items; the next one is made in another thread while this one works on an item.

    What making one raises is raised in its place. Whoever stops early waits for the one that is
    being made; the generator is closed in any case.
    """
    with ThreadPoolExecutor(1) as thread:
        try:
            coming = thread.submit(next, items, _END)
            while (item := coming.result()) is not _END:
                coming = thread.submit(next, items, _END)
                yield item  # type: ignore[misc] # whatever is not the end is an item
        finally:
            thread.submit(items.close).result()


_END = object()
