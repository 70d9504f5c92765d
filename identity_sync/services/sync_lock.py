"""One sync at a time, by a lock that is gone with its process, however that ended."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from identity_sync.errors import SyncLocked

# Any number will do, as long as nothing else in the database takes the same one.
ADVISORY_KEY = 0x5CA1_57AC
FILE_NAME = "sync.lock"


@contextmanager
def sync_lock() -> Iterator[None]:
    """Hold the lock. Raises `SyncLocked` at once when another run has it.

    On PostgreSQL a session advisory lock, so every machine is covered (a pooler must not share
    the session, such as pgbouncer in transaction mode); on SQLite a lock on a file of the home,
    which is where the database is.
    """
    held = _postgresql_lock() if connection.vendor == "postgresql" else _file_lock()
    with held:
        yield


@contextmanager
def _postgresql_lock() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_KEY])
        if not cursor.fetchone()[0]:
            raise _locked()
    try:
        yield
    finally:
        # A broken connection has let go of the lock already.
        if connection.connection and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_KEY])


@contextmanager
def _file_lock() -> Iterator[None]:
    path = Path(settings.HOME) / FILE_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise _locked() from None
    try:
        yield
    finally:
        os.close(descriptor)


def _locked() -> SyncLocked:
    return SyncLocked("Another sync is running.")
