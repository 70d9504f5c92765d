"""Limits of long work: its time, and how long it waits for locks of other database sessions."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn

from django.db import Error, connection

from scaiwave.core.errors import ConflictError, TimeLimitSignal
from scaiwave.core.sql import execute, fetch, fetch_one

MAX_QUERY_CHARS = 100
"""An error shows so many characters of the query of another session."""

MIN_POLL_SECONDS = 0.1
MAX_CLOSE_SECONDS = 2.0
"""How long the end of the work waits for the thread that looks for other sessions."""

_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL docs, appendix A


class LimitReached(ConflictError):
    """A limit ended the work, and nothing was changed.

    `summary` is the message without the query of another session, for a history that is kept.
    """

    def __init__(self, message: str, *, fix: str | None = None, summary: str = "") -> None:
        super().__init__(message, fix=fix)
        self.summary = summary or message


class TimeLimitExceeded(LimitReached):
    """The work took too long."""


class DatabaseBlocked(LimitReached):
    """Another session of PostgreSQL has kept a lock for too long. No changes were made."""

    code = "SW_DATABASE_BLOCKED"
    FIX = (
        "Find out what that session is for, and end it: `SELECT pg_terminate_backend({})` in psql. "
        "Then run the same command again."
    )
    fix = FIX.format("<process>")


class RunLimits:
    """The limits of one run in the main thread, and the errors that end it.

    `timeout` is in seconds, None for no limit; `timeout_error` is raised after it. `lock_seconds`
    is how long the run waits for each lock of another database session; 0: no limit.
    """

    def __init__(
        self, timeout: float | None, *, lock_seconds: float, timeout_error: type[TimeLimitExceeded]
    ) -> None:
        self._time = _TimeLimit(timeout)
        self._lock_seconds = lock_seconds
        self._timeout_error = timeout_error
        self._lock_waits = LockWaits()

    @contextmanager
    def enforce(self) -> Iterator[None]:
        """Raises `timeout_error` or `DatabaseBlocked` in place of the error that a limit caused."""
        with (
            self.translate(),
            self._time.enforce(),
            limit_lock_waits(self._lock_seconds, time_limit=self._time.seconds) as self._lock_waits,
        ):
            yield

    def cancel(self) -> None:
        """Let the rest of the run end whenever it does."""
        self._time.cancel()

    @contextmanager
    def translate(self) -> Iterator[None]:
        """Raise the errors of `enforce` already here, for example before the run is recorded."""
        try:
            yield
        except (Error, TimeLimitSignal) as error:
            if self._time.has_expired:
                message = (
                    f"The run did not end within {self._time.seconds:g} s. No changes were made."
                )
                waits = [
                    f" It was waiting for another session of the database: {blockers}."
                    if blockers
                    else ""
                    for blockers in (
                        self._lock_waits.describe_blockers(with_query=True),
                        self._lock_waits.describe_blockers(with_query=False),
                    )
                ]
                raise self._timeout_error(message + waits[0], summary=message + waits[1]) from error
            if isinstance(error, Error) and (blocked := self._lock_waits.find_error(error)):
                raise blocked from error
            raise


class _TimeLimit:
    """The time that work in the main thread may take."""

    def __init__(self, seconds: float | None) -> None:
        """None means that there is no limit."""
        self.seconds = seconds
        self.has_expired = False

    @contextmanager
    def enforce(self) -> Iterator[None]:
        """Raise `TimeLimitSignal` in this block when the time is over."""
        if self.seconds is None:
            yield
            return
        before = signal.signal(signal.SIGALRM, self._expire)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            yield
        finally:
            self.cancel()
            signal.signal(signal.SIGALRM, before)

    def cancel(self) -> None:
        """Let the rest of the work end whenever it does."""
        if self.seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _expire(self, number: int, frame: FrameType | None) -> NoReturn:
        self.has_expired = True
        raise TimeLimitSignal


class LockWaits:
    """Who this thread's database session has last waited for, as reported by PostgreSQL."""

    def __init__(self) -> None:
        self.blockers: list[tuple[object, ...]] = []

    def describe_blockers(self, *, with_query: bool) -> str:
        """Return a text such as `process 17 (user app, psql, active since …)`; may be empty."""
        return "; ".join(_describe_blocker(row, with_query=with_query) for row in self.blockers)

    def find_error(self, error: Error) -> DatabaseBlocked | None:
        """Return the error if PostgreSQL ended a wait for a lock, else None."""
        if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            return None
        fix = None
        if pids := [str(row[0]) for row in self.blockers if row[0]]:
            fix = DatabaseBlocked.FIX.format(pids[0])
        texts = [
            f"The database is blocked by another session"
            f"{f': {blockers}' if blockers else ''}. No changes were made."
            for with_query in (True, False)
            for blockers in [self.describe_blockers(with_query=with_query)]
        ]
        return DatabaseBlocked(texts[0], fix=fix, summary=texts[1])

    def watch(self, pid: int, poll_seconds: float, ended: threading.Event) -> None:
        """Look from time to time for the sessions that this one waits for.

        Afterwards it is too late: PostgreSQL names them only during the wait. They are kept for one
        more look, since the work takes a moment to end after a wait that was too long.
        """
        was_free = False
        while not ended.wait(poll_seconds):
            try:
                blockers = fetch(_BLOCKERS, [MAX_QUERY_CHARS, pid])
            except Error:
                return
            finally:
                connection.close()  # this thread's
            if blockers or was_free:
                self.blockers = blockers
            was_free = not blockers


_BLOCKERS = """
    SELECT b.pid, a.usename, a.application_name, a.state, a.state_change,
           left(regexp_replace(a.query, '\\s+', ' ', 'g'), %s)
    FROM unnest(pg_blocking_pids(%s)) AS b (pid)
    LEFT JOIN pg_stat_activity a ON a.pid = b.pid
    ORDER BY b.pid
"""


def _describe_blocker(row: tuple[Any, ...], *, with_query: bool) -> str:
    pid, user, application, state, since, query = row
    if not pid:
        return "a prepared transaction"
    parts = [f"user {user}" if user else "", application or "", state or ""]
    if isinstance(since, datetime):
        parts[-1] += f" since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    details = ", ".join(filter(None, parts)) or "details are not visible to this user"
    return f"process {pid} ({details})" + (f": {query}" if with_query and query else "")


@contextmanager
def limit_lock_waits(seconds: float, *, time_limit: float | None) -> Iterator[LockWaits]:
    """Limit how long this thread's statements wait for locks of others; 0: no limit.

    On PostgreSQL such a statement fails, and `LockWaits.find_error` names the other session. SQLite
    has its own limit, and a wait there can't be interrupted; it is shortened to the `time_limit`.
    """
    if connection.vendor == "postgresql":
        with _limit_on_postgresql(seconds, time_limit) as waits:
            yield waits
        return
    with _limit_on_sqlite(time_limit):
        yield LockWaits()


@contextmanager
def _limit_on_postgresql(seconds: float, time_limit: float | None) -> Iterator[LockWaits]:
    milliseconds = f"{seconds * 1000:.0f}ms"
    fetch_one("SELECT set_config('lock_timeout', %s, false)", [milliseconds])
    (pid,) = fetch_one("SELECT pg_backend_pid()")
    waits, ended = LockWaits(), threading.Event()
    shortest = min(filter(None, (seconds, time_limit)), default=60)
    thread = threading.Thread(
        target=waits.watch,
        args=(int(pid), max(MIN_POLL_SECONDS, shortest / 3), ended),
        name="lock-waits",
        daemon=True,
    )
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join(MAX_CLOSE_SECONDS)
        with suppress(Error):  # A session that can't be used is replaced anyway.
            execute("SET lock_timeout TO DEFAULT")


@contextmanager
def _limit_on_sqlite(time_limit: float | None) -> Iterator[None]:
    before = connection.settings_dict["OPTIONS"].get("timeout", 5)
    if time_limit is None or time_limit >= before:
        yield
        return
    fetch(f"PRAGMA busy_timeout = {round(time_limit * 1000)}")
    try:
        yield
    finally:
        with suppress(Error, sqlite3.Error):
            fetch(f"PRAGMA busy_timeout = {round(before * 1000)}")
