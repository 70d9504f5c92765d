"""Reading a database as it was at one moment, while others go on writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def snapshot() -> Iterator[None]:
    """All that is read within is of one moment, and nobody waits for it; nothing can be written.

    Not to be begun within a transaction.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        with _sqlite_snapshot():
            yield


@contextmanager
def _sqlite_snapshot() -> Iterator[None]:
    """Django would begin every transaction with the write lock. In WAL mode a deferred one that
    only reads sees the database as of its first read, and holds up no writer."""
    connection.ensure_connection()
    raw = connection.connection
    with connection.wrap_database_errors:
        raw.execute("BEGIN DEFERRED")
    try:
        yield
    finally:
        # SQLite has ended it by itself after the worst of errors.
        if raw.in_transaction:
            raw.execute("ROLLBACK")
