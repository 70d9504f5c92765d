"""The lock that a sync has from its first row in the history to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from identity_sync.errors import SyncLocked
from identity_sync.models import LOCK
from scaiwave.core.locks import is_locked, process_lock

WAITING_LOCK = "sync-waiting"
POLL_SECONDS = 0.2
"""How often a run that waits for the lock tries to take it."""


@contextmanager
def sync_lock(
    *,
    wait_seconds: float = 0,
    on_waiting: Callable[[], None] | None = None,
    lets_others_go_first: bool = False,
) -> Iterator[None]:
    """Acquire the lock of syncs; wait for it that long. Raises `SyncLocked`.

    Runs that follow one another, such as those of webhooks, would leave it free for moments only,
    and so let others go first: those that announce by another lock that they wait.
    """
    started = time.monotonic()
    is_announced = False
    with ExitStack() as announcement:
        while True:
            if not (lets_others_go_first and is_locked(WAITING_LOCK)):
                with process_lock(LOCK) as acquired:
                    if acquired:
                        announcement.close()
                        yield
                        return
            if not wait_seconds:
                raise SyncLocked("Another sync is running.")
            if time.monotonic() - started >= wait_seconds:
                raise SyncLocked(f"Another sync is still running after {wait_seconds:.0f} s.")
            if on_waiting:
                on_waiting()
                on_waiting = None
            if not lets_others_go_first and not is_announced:
                is_announced = announcement.enter_context(process_lock(WAITING_LOCK))
            time.sleep(POLL_SECONDS)
