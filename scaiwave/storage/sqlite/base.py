"""Django's backend for SQLite, whose transactions get their turn beside a busy writer.

Once SQLite has waited for a quarter of a second, it asks for the write lock only every 100 ms, and
finds the pauses of a busy writer, which take a millisecond or two, only by chance.
"""

from __future__ import annotations

import sqlite3
import time

from django.db import OperationalError
from django.db.backends.sqlite3 import base

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY}
"""Another connection has the lock. `SQLITE_BUSY_SNAPSHOT` does not end by waiting."""


class DatabaseWrapper(base.DatabaseWrapper):
    def _start_transaction_under_autocommit(self) -> None:
        """Ask every millisecond, for as long as SQLite would have waited."""
        (limit,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        deadline = time.monotonic() + limit / 1000
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    super()._start_transaction_under_autocommit()  # type: ignore[misc]
                    return
                except OperationalError as error:
                    code = getattr(error.__cause__, "sqlite_errorcode", 0)
                    if code not in _LOCKED or time.monotonic() > deadline:
                        raise
                time.sleep(0.001)
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {limit:d}")
