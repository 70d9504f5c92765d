"""Locks that are gone with their process, however that ended."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from django.conf import settings
from django.db import Error, connection

from scaiwave.sql import fetch_one


@contextmanager
def process_lock(name: str) -> Iterator[bool]:
    """Try to hold the lock of this name; yields whether it was free, at once.

    On PostgreSQL a session advisory lock, so every machine is covered (a pooler must not share
    the session, such as pgbouncer in transaction mode); on SQLite a lock on a file of the home,
    which is where the database is. `name` is letters, digits and dashes.
    """
    held = _postgresql_lock(name) if connection.vendor == "postgresql" else _file_lock(name)
    with held as free:
        yield free


def lock_file(name: str) -> int | None:
    """Lock a file of the home directory, on this host alone; None if another process has it.

    The lock ends when every copy of the returned descriptor is closed, so that a process can pass
    it to the one that it starts.
    """
    return _open_locked(_lock_path(name))


@contextmanager
def _postgresql_lock(name: str) -> Iterator[bool]:
    key = _advisory_key(name)
    (free,) = fetch_one("SELECT pg_try_advisory_lock(%s)", [key])
    try:
        yield free
    finally:
        if free:
            _release(key)


def _release(key: int) -> None:
    """What is raised here would hide why the work ended, and it may be that the server is gone."""
    if connection.connection is None or connection.connection.closed:
        return
    try:
        fetch_one("SELECT pg_advisory_unlock(%s)", [key])
    except Error:
        connection.close()  # which lets go of every lock of the session


def _advisory_key(name: str) -> int:
    """PostgreSQL knows such locks by signed 64-bit numbers."""
    digest = blake2b(b"scaiwave " + name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@contextmanager
def _file_lock(name: str) -> Iterator[bool]:
    path = _lock_path(name)
    descriptor = _open_locked(path)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(path: Path) -> int | None:
    """The file, locked; None if somebody else has it.

    Whoever lets go removes the file, so one that was opened before that must be opened again.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.close(descriptor)


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _lock_path(name: str) -> Path:
    folder = Path(settings.HOME) / "locks"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{name}.lock"
