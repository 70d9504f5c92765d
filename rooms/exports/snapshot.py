"""Read a consistent snapshot of the database while others keep writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext

from django.db import connection, transaction

EVENT_SENDERS = """
    CREATE TEMP TABLE IF NOT EXISTS event_senders
    (digits TEXT PRIMARY KEY, sender TEXT, signature TEXT) WITHOUT ROWID
"""
"""A table for those who read events: looking up a sender is faster than formatting its UUID."""
_MAX_ATTEMPTS = 20
"""To begin on two connections at the same version, while others write."""


@contextmanager
def snapshot(opened: sqlite3.Connection | None = None) -> Iterator[sqlite3.Connection | None]:
    """Read everything inside from one snapshot, without blocking writers.

    On SQLite, yields a connection that sees the same snapshot, for reading many rows; it can write
    to temporary tables only. It is `opened`, if the caller has one of `open_read_connection`. Must
    not be used inside a transaction.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield None
        return
    with (
        connection.wrap_database_errors,
        nullcontext(opened) if opened else _open_sqlite() as read_connection,
    ):
        try:
            yield begin_paired(connection.connection, read_connection)
        finally:
            _roll_back(connection.connection)
            _roll_back(read_connection)


@contextmanager
def open_read_connection() -> Iterator[sqlite3.Connection | None]:
    """Open a connection for the snapshots of several rooms; None on PostgreSQL."""
    if connection.vendor == "postgresql":
        yield None
        return
    with connection.wrap_database_errors, _open_sqlite() as read_connection:
        yield read_connection


@contextmanager
def _open_sqlite() -> Iterator[sqlite3.Connection]:
    """Open a second connection to the same file, without Django's functions.

    The functions that Django adds to a connection, and its prepared statements, fill SQLite's pool
    of small allocations; every row then takes half as long again. A database in memory has only
    one connection.
    """
    connection.ensure_connection()
    if connection.is_in_memory_db():  # type: ignore[attr-defined] # of the wrapper for SQLite
        yield connection.connection
        return
    parameters = connection.get_connection_params()
    with closing(sqlite3.connect(**parameters)) as read_connection:
        read_connection.isolation_level = None
        # In a transaction, its rollback would make SQLite parse the whole schema again.
        read_connection.execute(EVENT_SENDERS)
        yield read_connection


def begin_paired(
    main_connection: sqlite3.Connection, read_connection: sqlite3.Connection
) -> sqlite3.Connection:
    """Begin a transaction on both and return the connection to read rows from.

    Django would begin every transaction with the write lock. In WAL mode a deferred transaction
    that only reads sees the database as of its first read, and blocks no writer. Both see the same
    version if no other connection committed between the two first reads; under constant writes,
    only the main connection is used.
    """
    for _ in range(_MAX_ATTEMPTS):
        before = _get_version(main_connection)
        if read_connection is not main_connection:
            _begin(read_connection)
        _begin(main_connection)
        if _get_version(main_connection) == before:
            return read_connection
        _roll_back(main_connection)
        _roll_back(read_connection)
    _begin(main_connection)
    return main_connection


def _begin(raw: sqlite3.Connection) -> None:
    raw.execute("BEGIN DEFERRED")
    raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


def _get_version(raw: sqlite3.Connection) -> int:
    """Return a number that changes whenever another connection commits."""
    (version,) = raw.execute("PRAGMA data_version").fetchone()
    return int(version)


def _roll_back(raw: sqlite3.Connection) -> None:
    # After some errors SQLite has rolled back by itself.
    if raw.in_transaction:
        raw.execute("ROLLBACK")
