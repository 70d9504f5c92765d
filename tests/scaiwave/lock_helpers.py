"""Hold locks of the suite in another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from scaiwave.core.locks import is_locked, process_lock


@contextmanager
def hold_lock_elsewhere(name: str) -> Iterator[None]:
    """Hold a lock in another thread, with its own database connection."""
    is_held, done = threading.Event(), threading.Event()

    def hold() -> None:
        # PostgreSQL releases the locks of a closed connection a moment later.
        deadline = time.monotonic() + 10
        while is_locked(name) and time.monotonic() < deadline:
            time.sleep(0.01)
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
