"""One sync at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from identity_sync.errors import SyncLocked
from scaiwave.locks import process_lock


@contextmanager
def sync_lock() -> Iterator[None]:
    """Hold the lock. Raises `SyncLocked` at once when another run has it."""
    with process_lock("sync") as free:
        if not free:
            raise SyncLocked("Another sync is running.")
        yield
