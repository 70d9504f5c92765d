"""The lock that a sync has from its first row in the history to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TypedDict

from identity_sync.errors import SyncLocked
from identity_sync.models import LOCK, Outcome, SyncRun
from scaiwave.core.locks import LockHolder, find_lock_holder, is_locked, process_lock

WAITING_LOCK = "sync-waiting"
POLL_SECONDS = 0.2
"""How often a run that waits for the lock tries to take it."""
MIN_SILENT_SECONDS = 30
"""After two missing heartbeats its host is lost, its connection stalls, or it is suspended."""


class HolderRow(TypedDict):
    """The session that has the lock of syncs, as JSON has it."""

    process: str
    address: str | None
    session: int | None
    locked_at: datetime
    silent_seconds: int
    is_silent: bool


def describe_holder(holder: LockHolder) -> HolderRow:
    """Return who has the lock of syncs, and since when: the start of its run, if that is known."""
    run = SyncRun.objects.filter(outcome=Outcome.RUNNING).newest_first().first()
    locked_at = max(holder.backend_start, run.started_at) if run else holder.backend_start
    return {
        "process": holder.process,
        "address": holder.address,
        "session": holder.pid,
        "locked_at": locked_at,
        "silent_seconds": holder.silent_seconds,
        "is_silent": holder.silent_seconds >= MIN_SILENT_SECONDS,
    }


def format_holder(holder: HolderRow) -> str:
    """Format it as `scaiwave 4711@chat1 (10.0.0.5, session 812), silent for 340 s`."""
    place = f"{holder['address']}, " if holder["address"] else ""
    state = f"silent for {holder['silent_seconds']:,} s" if holder["is_silent"] else "not silent"
    session = f" ({place}session {holder['session']}), {state}" if holder["session"] else ""
    return f"{holder['process']}{session}"


def build_locked_error(message: str, *, shows_host: bool) -> SyncLocked:
    """Return the error, with who has the lock if the operator may see hosts."""
    if not shows_host or (found := find_lock_holder(LOCK)) is None:
        return SyncLocked(f"{message}.")
    holder = describe_holder(found)
    locked_at = holder["locked_at"].astimezone(UTC)
    fix = None
    if holder["is_silent"]:
        fix = (
            "PostgreSQL ends a session that stays silent within two minutes. To end it now: "
            "`scaiwave sync unlock`."
        )
    since = f"since {locked_at:%Y-%m-%d %H:%M:%S} UTC"
    return SyncLocked(f"{message}: {format_holder(holder)}, {since}.", fix=fix)


@contextmanager
def sync_lock(
    *,
    wait_seconds: float = 0,
    on_waiting: Callable[[], None] | None = None,
    lets_others_go_first: bool = False,
    shows_host: bool = True,
) -> Iterator[None]:
    """Acquire the lock of syncs; wait for it that long. Raises `SyncLocked`.

    Runs that follow one another, such as runs for webhooks, would leave it free for moments only.
    They let others go first that announce by another lock that they wait.
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
            if time.monotonic() - started >= wait_seconds:
                state = f"still running after {wait_seconds:.0f} s" if wait_seconds else "running"
                raise build_locked_error(f"Another sync is {state}", shows_host=shows_host)
            if on_waiting:
                on_waiting()
                on_waiting = None
            if not lets_others_go_first and not is_announced:
                # Held by one run at a time: the announcement of another one serves as well.
                is_announced = announcement.enter_context(process_lock(WAITING_LOCK))
            time.sleep(POLL_SECONDS)
