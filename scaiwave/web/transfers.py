"""How many exports and imports run at a time, by caller and in a process of the web server.

Each of them occupies a thread of the server until its client has read or sent everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore

from django.conf import settings

from scaiwave.core.locks import process_lock
from scaiwave.web.api import RateLimitExceeded

FREE_THREADS = 2
"""Threads of a process that exports and imports leave to other requests."""

_places: list[BoundedSemaphore] = []


def limit_transfers(threads: int) -> None:
    """Limit the exports and imports of this process, which has this many threads."""
    _places[:] = [BoundedSemaphore(max(1, threads - FREE_THREADS))]


def reserve_transfer(key: str) -> ExitStack:
    """Keep a place for an export or import until the end of a block. Raises `RateLimitExceeded`.

    `key` identifies the caller; it consists of letters, digits and dashes.
    A place of a caller is a lock that all web processes share, and that ends with its process.
    """
    limit = settings.CONFIG.get_int("SCAIWAVE_TRANSFER_LIMIT")
    with ExitStack() as stack:
        stack.enter_context(_reserve_thread())
        if limit and not any(
            stack.enter_context(process_lock(f"transfer-{key}-{number}")) for number in range(limit)
        ):
            raise RateLimitExceeded(
                f"You have reached the limit of exports and imports in progress: {limit}."
            )
        return stack.pop_all()


@contextmanager
def _reserve_thread() -> Iterator[None]:
    """A generator, so that a response that no server has closed does not keep its place."""
    with ExitStack() as stack:
        for places in _places:
            if not places.acquire(blocking=False):
                raise RateLimitExceeded(
                    "The server has reached its limit of exports and imports in progress."
                )
            stack.callback(places.release)
        yield
