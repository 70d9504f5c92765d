"""A private SQLite database without a name, for an index that may be larger than memory.

It spills to a file that is deleted as soon as it is created, so nothing is left behind however the
process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from scaiwave.core.errors import DiskFull

_DISK_ERRORS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_SETTINGS = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{cache};
"""


def open_index(tables: str, *, cache_kib: int = 1024) -> sqlite3.Connection:
    """Open one with these tables, inside a transaction."""
    # Read in whichever thread writes the events to the database.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.executescript(_SETTINGS.format(cache=cache_kib) + tables)
    database.execute("BEGIN")
    return database


@contextmanager
def translate_index_errors(subject: str = "the bundle's events") -> Iterator[None]:
    """Raise `DiskFull` if SQLite has no space for its temporary file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _DISK_ERRORS:
            raise
        raise DiskFull(
            f"Not enough disk space for the index of {subject}: {error}.",
            fix="Set SQLITE_TMPDIR or TMPDIR to a directory with more space, then run this again.",
        ) from error
