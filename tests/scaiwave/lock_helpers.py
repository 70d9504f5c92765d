"""Hold locks of the suite in another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from scaiwave.core.locks import process_lock


@contextmanager
def hold_lock_elsewhere(name: str) -> Iterator[None]:
    """Hold a lock in another thread, with its own database connection."""
    is_held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with process_lock(name) as is_free:
            assert is_free
            is_held.set()
            done.wait(30)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert is_held.wait(30)
        yield
    finally:
        done.set()
        holder.join()
