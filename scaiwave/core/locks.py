"""Locks that end with their process, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connection

from scaiwave.core.files import translate_write_errors
from scaiwave.core.sql import execute, fetch, fetch_one

RETRY_SECONDS = 0.02
MIN_STALE_AGE = timedelta(hours=1)
"""Younger lock files are left to their own process."""
END_SECONDS = 5
"""How long to wait for the end of a session."""
MAX_SILENT_SECONDS, HEARTBEAT_SECONDS = 60, 15
"""A session with a lock ends after such a silence; its process sends something more often."""
_LIMITS = ("tcp_user_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")
_SETTINGS = ["application_name", *_LIMITS]
_ACQUIRE = """
    SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)
    WHERE (SELECT pg_try_advisory_lock(%s))
"""
"""Without the lock it returns no row. The lock is acquired once, before the first row."""


@dataclass(frozen=True)
class LockHolder:
    """The session of PostgreSQL that has a lock, which `backend_start` and `pid` identify.

    `process` is how it names itself, with the ID and the host of its process. `silent_seconds` is
    how long it has sent nothing; 0 while it executes a statement that waits for nothing from it.
    On SQLite it has no `pid`, and begins with the lock.
    """

    pid: int | None
    backend_start: datetime
    process: str
    address: str | None
    silent_seconds: int


_HOLDER = """
    SELECT a.pid, a.backend_start, a.application_name, host(a.client_addr),
           CASE WHEN a.state <> 'active' OR a.wait_event = 'ClientRead'
           THEN extract(epoch FROM clock_timestamp() - a.state_change)::int ELSE 0 END
    FROM pg_locks JOIN pg_database d ON d.oid = pg_locks.database
    JOIN pg_stat_activity a ON a.pid = pg_locks.pid
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND d.datname = current_database()
    AND classid::bigint = %s AND objid::bigint = %s
"""


def process_lock(name: str) -> AbstractContextManager[bool]:
    """Try to acquire a lock without waiting; the block gets whether it was free.

    Raises `FileUnwritable` or `DiskFull` if there can be no lock in the home directory.

    On PostgreSQL it is a session advisory lock, which covers all hosts (behind a pooler only in
    session mode). On SQLite it is a lock on a file in the home directory. `name` consists of
    letters, digits and dashes.
    """
    if connection.vendor == "postgresql":
        return _PostgresqlLock(name)
    return _file_lock(name)


def is_locked(name: str) -> bool:
    """Return whether a process has this lock, without disturbing one that is about to take it."""
    if connection.vendor != "postgresql":
        return is_file_locked(name)
    return find_lock_holder(name) is not None


def find_lock_holder(name: str) -> LockHolder | None:
    """Return None if no process has the lock."""
    if connection.vendor == "postgresql":
        rows = fetch(_HOLDER, _key_params(name))
        return LockHolder(*rows[0]) if rows else None
    path = _lock_path(name)
    with suppress(FileNotFoundError):
        process, began_at = path.read_text(), datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if process and is_file_locked(name):
            return LockHolder(None, began_at, process, None, 0)
    return None


def end_lock_holder(name: str, holder: LockHolder) -> bool:
    """End this session if it still has the lock; return whether it has ended."""
    sql = f"""
        SELECT pg_terminate_backend(pid, %s) FROM ({_HOLDER}) holder
        WHERE (pid, backend_start) = (%s, %s)
    """  # noqa: S608 - a constant
    params = [END_SECONDS * 1000, *_key_params(name), holder.pid, holder.backend_start]
    return fetch(sql, params) == [(True,)]


def lock_file(name: str) -> int | None:
    """Lock a file of the home directory, on this host alone; None if another process has it.

    The lock ends when every copy of the returned descriptor is closed, so that a process can pass
    it to the one that it starts. Raises `FileUnwritable` or `DiskFull`.
    """
    path = _lock_path(name)
    with translate_write_errors(path):
        _lock_directory().mkdir(mode=0o700, exist_ok=True)
        return _open_locked(path)


def is_file_locked(name: str) -> bool:
    """Return whether a process on this host has the file that `lock_file` locks."""
    path = _lock_path(name)
    with translate_write_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def remove_stale_lock_files(*, min_age: timedelta = MIN_STALE_AGE) -> int:
    """Delete the lock files of processes that were killed, and return their number.

    Files that can't be deleted are left.
    """
    return sum(_is_stale(path, min_age, remove=True) for path in _lock_directory().glob("*.lock"))


def count_stale_lock_files(*, min_age: timedelta = MIN_STALE_AGE) -> int:
    """Return the number of lock files that `remove_stale_lock_files` would delete."""
    return sum(_is_stale(path, min_age, remove=False) for path in _lock_directory().glob("*.lock"))


def _is_stale(path: Path, min_age: timedelta, *, remove: bool) -> bool:
    with suppress(OSError):
        if path.stat().st_mtime > time.time() - min_age.total_seconds():
            return False
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_same = _is_same_file(path, descriptor)
            if is_same and remove:
                path.unlink()
        finally:
            os.close(descriptor)
        return is_same
    return False


def _name_process() -> str:
    return f"scaiwave {os.getpid()}@{socket.gethostname()}"


class _PostgresqlLock:
    """A lock whose session shows its process, and ends a minute after it stalls.

    Keepalives do not notice a lost host while it owes the receipt of a response, and the kernel of
    a proxy responds to them even if the proxy passes nothing on. So a thread sends something. One
    is enough for the session, whose locks may overlap.

    Not a generator: Python closes an abandoned one at any moment, even in the middle of another
    query, which would then wait for itself. The lock of one ends with its connection.
    """

    def __init__(self, name: str) -> None:
        self._name, self._key = name, _advisory_key(name)
        self._session: Any = None

    def __enter__(self) -> bool:
        if self._acquire() or (self._end_stalled() and self._acquire()):
            self._session = session = connection.connection
            session.locks += 1
            if session.locks == 1:
                session.has_ended = threading.Event()
                beat, arguments = session.beat, (HEARTBEAT_SECONDS, session.has_ended)
                threading.Thread(target=beat, args=arguments, name="heartbeat", daemon=True).start()
        return self._session is not None

    def _acquire(self) -> bool:
        values = [_name_process(), *[f"{MAX_SILENT_SECONDS}s"] * len(_LIMITS)]
        return bool(fetch(_ACQUIRE, [_SETTINGS, values, self._key]))

    def _end_stalled(self) -> bool:
        """End a session that PostgreSQL does not end: it waits for the rest of a COPY."""
        holder = find_lock_holder(self._name)
        is_stalled = holder and holder.silent_seconds > MAX_SILENT_SECONDS
        return bool(holder and is_stalled and end_lock_holder(self._name, holder))

    def __exit__(self, *_: object) -> None:
        """Never raises: an error, such as a lost connection, would hide the error of the work."""
        if (session := self._session) is None:
            return
        session.locks -= 1
        if not session.locks:
            session.has_ended.set()
        if session.closed or session is not connection.connection:
            return
        resets = [] if session.locks else [f"RESET {name}" for name in _SETTINGS]
        try:
            execute("; ".join([*resets, f"SELECT pg_advisory_unlock({self._key})"]))
        except Error:
            connection.close()  # This releases every lock of the session.


def lock_in_transaction(name: str, *, is_shared: bool = False) -> None:
    """Wait for a lock that ends with the transaction of the caller, or a minute after it stalls.

    A shared one excludes only others that are not. On SQLite there is nothing to do: its
    transactions that write run one at a time.
    """
    if connection.vendor == "postgresql":
        suffix = "_shared" if is_shared else ""
        sql = f"SELECT set_config(%s, %s, true), pg_advisory_xact_lock{suffix}(%s)"
        fetch_one(sql, [_LIMITS[-1], f"{MAX_SILENT_SECONDS}s", _advisory_key(name)])


def _key_params(name: str) -> list[int]:
    """Return the two halves of the key, as `pg_locks` has them."""
    return list(divmod(_advisory_key(name) % 2**64, 2**32))


def _advisory_key(name: str) -> int:
    """Return the signed 64-bit number that PostgreSQL identifies the lock by."""
    digest = blake2b(b"scaiwave " + name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@contextmanager
def _file_lock(name: str) -> Iterator[bool]:
    path, descriptor = _lock_path(name), lock_file(name)
    if descriptor is None:
        yield False
        return
    remove_stale_lock_files()
    try:
        with translate_write_errors(path):
            os.ftruncate(descriptor, 0)  # A killed process left its own number.
            os.write(descriptor, _name_process().encode())
        yield True
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _open_locked(path: Path) -> int | None:
    """Return the descriptor of the locked file, or None if another process has the lock.

    On release the file is deleted, so one that was opened before that must be opened again.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_exclusively(descriptor)
            if _is_same_file(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # no locks on this file system, or too many
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_exclusively(descriptor: int) -> None:
    """Raises BlockingIOError. It tries twice, because `is_locked` takes a lock for a moment."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(RETRY_SECONDS)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _lock_directory() -> Path:
    return Path(settings.HOME) / "locks"


def _lock_path(name: str) -> Path:
    return _lock_directory() / f"{name}.lock"
