"""How many exports and imports one participant or administrator may run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings

from scaiwave.api import RateLimitExceeded
from scaiwave.locks import process_lock


@contextmanager
def reserve_transfer(key: str) -> Iterator[None]:
    """Keep a place for an export or import in this block. Raises `RateLimitExceeded`.

    `key` identifies the caller; it consists of letters, digits and dashes.
    A place is a lock that all web processes share, and that ends with its process.
    """
    limit = settings.CONFIG.get_int("SCAIWAVE_TRANSFER_LIMIT")
    with ExitStack() as stack:
        if limit and not any(
            stack.enter_context(process_lock(f"transfer-{key}-{number}")) for number in range(limit)
        ):
            raise RateLimitExceeded(
                f"You have reached the limit of exports and imports in progress: {limit}."
            )
        yield
