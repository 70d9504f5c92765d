"""What a first sync writes, written again by plain SQL: the yardstick for its last part.

For each table that a sync fills, an empty copy with the same columns, indexes, checks and foreign
keys is filled by one INSERT … SELECT, all in one transaction, in the database of the sync.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = (
    "sw_partners",
    "sw_tenants",
    "sw_participants",
    "sw_groups",
    "sw_group_memberships",
    "sw_sync_changes",
)
PREFIX = "baseline_"


def time_plain_insert(environment: dict[str, str]) -> float:
    """Return the seconds from the first INSERT to the end of the commit."""
    if url := environment.get("SCAIWAVE_DB_URL"):
        return _time_postgresql(url)
    return _time_sqlite(Path(environment["SCAIWAVE_HOME"]) / "scaiwave.sqlite3")


def _time_postgresql(url: str) -> float:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(
                f"CREATE TABLE {PREFIX}{table} (LIKE {table} INCLUDING ALL)".encode()
            )
            for (definition,) in connection.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conrelid = %s::regclass AND contype = 'f'",
                [table],
            ).fetchall():
                connection.execute(f"ALTER TABLE {PREFIX}{table} ADD {definition}".encode())
        try:
            started = time.perf_counter()
            with connection.transaction():
                for table in TABLES:
                    connection.execute(_insert(table).encode())
            return time.perf_counter() - started
        finally:
            for table in TABLES:
                connection.execute(f"DROP TABLE {PREFIX}{table}".encode())


def _time_sqlite(path: Path) -> float:
    import sqlite3

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")  # as in the suite's settings
        connection.execute("PRAGMA foreign_keys = ON")
        for table in TABLES:
            for definition in _list_definitions(connection, table):
                connection.execute(definition)
        try:
            started = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                connection.execute(_insert(table))
            connection.execute("COMMIT")
            return time.perf_counter() - started
        finally:
            for table in TABLES:
                connection.execute(f"DROP TABLE {PREFIX}{table}")


def _insert(table: str) -> str:
    return f"INSERT INTO {PREFIX}{table} SELECT * FROM {table}"  # noqa: S608 - our own names


def _list_definitions(connection: Any, table: str) -> Iterator[str]:
    """Yield the statements that create a copy of the table and of its indexes, under new names."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL "
        "AND type IN ('table', 'index') ORDER BY type DESC",
        [table],
    ).fetchall()
    for kind, name, sql in rows:
        renamed = sql.replace(f'"{name}"', f'"{PREFIX}{name}"', 1)
        yield renamed if kind == "table" else renamed.replace(f'"{table}"', f'"{PREFIX}{table}"', 1)
