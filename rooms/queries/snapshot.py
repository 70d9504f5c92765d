"""Reading a database as it was at one moment, while others go on writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db import connection, transaction

_TRIES = 20
"""To begin on two connections at once, while others write."""


@contextmanager
def snapshot() -> Iterator[sqlite3.Connection | None]:
    """All that is read within is of one moment, and nobody waits for it; nothing can be written.

    On SQLite it yields a connection that sees the same, to read very many rows by; temporary tables
    are all it can write. Not to be begun within a transaction.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield None
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, _connection_beside() as beside:
        try:
            yield begin_paired(connection.connection, beside)
        finally:
            _rolled_back(connection.connection)
            _rolled_back(beside)


@contextmanager
def _connection_beside() -> Iterator[sqlite3.Connection]:
    """Another one to the same file, on which nothing else has been done.

    What SQLite keeps at hand of small memory is taken up by the functions that Django adds to a
    connection and by the statements that are prepared; then every row takes half as long again. A
    database in memory has one connection alone.
    """
    if connection.is_in_memory_db():  # type: ignore[attr-defined] # of the wrapper for SQLite
        yield connection.connection
        return
    with closing(sqlite3.connect(**connection.get_connection_params())) as beside:
        beside.isolation_level = None
        yield beside


def begin_paired(usual: sqlite3.Connection, beside: sqlite3.Connection) -> sqlite3.Connection:
    """Begin on both; returns the one to read rows by.

    Django would begin every transaction with the write lock. In WAL mode a deferred one that only
    reads sees the database as of its first read, and holds up no writer. Both see the same if
    nobody has committed between the two reads; where others never cease, there is but the one.
    """
    for _ in range(_TRIES):
        before = _version(usual)
        if beside is not usual:
            _begin(beside)
        _begin(usual)
        if _version(usual) == before:
            return beside
        _rolled_back(usual)
        _rolled_back(beside)
    _begin(usual)
    return usual


def _begin(raw: sqlite3.Connection) -> None:
    raw.execute("BEGIN DEFERRED")
    raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


def _version(raw: sqlite3.Connection) -> int:
    """Another number whenever somebody else has committed."""
    (version,) = raw.execute("PRAGMA data_version").fetchone()
    return int(version)


def _rolled_back(raw: sqlite3.Connection) -> None:
    # SQLite has ended it by itself after the worst of errors.
    if raw.in_transaction:
        raw.execute("ROLLBACK")
