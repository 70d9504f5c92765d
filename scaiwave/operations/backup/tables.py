"""The tables of a database that backups are about, and what they contain.

A restored table has the same number of rows, and the same digest of their values, as the original.
The digest does not depend on the order of the rows, but on the order of the columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from django.db.backends.base.base import BaseDatabaseWrapper

from scaiwave.console.text import pluralize
from scaiwave.operations.backup.errors import BackupDamaged

Columns = Mapping[str, Sequence[str]]
"""The columns of each table, in their order."""

WITHOUT_ROWS = {"django_session", "sw_restorations"}
"""A backup lets no one into the site, and is of no restored server."""
NOT_COMPARED = {"django_migrations", *WITHOUT_ROWS}
"""A restored database has its own."""
_HASH_DIGITS = 15
"""Hexadecimal digits of a row's SHA-256 that are added up."""

# Generated columns are left out: another release of PostgreSQL may compute other lexemes.
_LIST_TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = ''
WHERE c.relkind = 'r' AND n.nspname = current_schema() GROUP BY 1 ORDER BY 1
"""
_SAME_TEXTS = """
SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET xmlbinary = 'base64'
"""
"""Settings on which the text of a value depends."""
_LIST_SQLITE_TABLES = """
SELECT name, sql LIKE 'CREATE VIRTUAL%' FROM sqlite_master
WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name
"""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""Larger integers have no canonical JSON."""


class TableContents(msgspec.Struct, frozen=True):
    rows: Count
    digest: str


def list_postgresql(database: BaseDatabaseWrapper) -> dict[str, list[str]]:
    with database.cursor() as cursor:
        cursor.execute(_LIST_TABLES)
        return dict(cursor.fetchall())


def list_sqlite(database: sqlite3.Connection) -> dict[str, list[str]]:
    """Leave out virtual tables, the tables in which they store their data, and views."""
    kinds = dict(database.execute(_LIST_SQLITE_TABLES).fetchall())
    stores = tuple(f"{name}_" for name, is_virtual in kinds.items() if is_virtual)
    names = [name for name in kinds if not kinds[name] and not name.startswith(stores)]
    query = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid"
    return {name: [row[0] for row in database.execute(query, [name])] for name in names}


def quote_name(name: str) -> str:
    """Quote a name for both databases."""
    return '"' + name.replace('"', '""') + '"'


def quote_names(names: Sequence[str]) -> str:
    return ", ".join(map(quote_name, names))


def measure_postgresql(database: BaseDatabaseWrapper, columns: Columns) -> dict[str, TableContents]:
    tables = {}
    with database.cursor() as cursor:
        cursor.execute(_SAME_TEXTS)
        for table, names in columns.items():
            text = f"convert_to(ROW({quote_names(names)})::text, 'UTF8')"
            prefix = f"'x' || left(encode(sha256({text}), 'hex'), {_HASH_DIGITS})"
            number = f"({prefix})::bit({4 * _HASH_DIGITS})::bigint"
            query = f"SELECT count(*), coalesce(sum({number}), 0)::text"
            cursor.execute(f"{query} FROM ONLY {quote_name(table)}")
            tables[table] = TableContents(*cursor.fetchone())
    return tables


def measure_sqlite(database: sqlite3.Connection, columns: Columns) -> dict[str, TableContents]:
    tables = {}
    for table, names in columns.items():
        rows = digest = 0
        query = f"SELECT {quote_names(names)} FROM {quote_name(table)}"  # noqa: S608
        for row in database.execute(query):
            rows += 1
            digest += int(sha256(repr(row).encode()).hexdigest()[:_HASH_DIGITS], 16)
        tables[table] = TableContents(rows, str(digest))
    return tables


@contextmanager
def read_sqlite(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that no process uses, for reading. Raises BackupDamaged for faults in it.

    Functions and virtual tables in its views, triggers and columns are not trusted.
    """
    # Immutable: SQLite writes no journal beside it.
    uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    with translate_faults(file), closing(sqlite3.connect(uri, uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        if (found := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise BackupDamaged(f"SQLite finds a fault in {file}: {found}.")
        yield database


@contextmanager
def translate_faults(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(f"SQLite can't read {file}: {error}.") from None


def compare_tables(
    expected: Mapping[str, TableContents], found: Mapping[str, TableContents]
) -> None:
    """Raises BackupDamaged, which names the first table that differs.

    A table without rows may be missing before: it belongs to a library that was not installed.
    """
    for name in sorted(found):
        before, after = expected.get(name, TableContents(0, "0")), found[name]
        if before != after:
            raise BackupDamaged(
                f"The restored table {name} differs from the server's: "
                f"{_describe(after)} instead of {_describe(before)}."
            )


def _describe(table: TableContents) -> str:
    return f"{pluralize(table.rows, 'row')} with the digest {table.digest}"
