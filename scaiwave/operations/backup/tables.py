"""Count the rows of each table, with a digest of their values that does not depend on their order.

A restored table has the same number and digest as the original.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from django.db.backends.base.base import BaseDatabaseWrapper

from scaiwave.operations.backup.errors import BackupDamaged

_HASH_DIGITS = 15
"""Hexadecimal digits of a row's SHA-256 that are added up."""

# Generated columns are left out: another release of PostgreSQL may compute other lexemes.
_LIST_TABLES = r"""
SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
    string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = ''
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relname <> 'sw_restorations'
GROUP BY 1, 2, 3 ORDER BY 1, 2
"""
_SAME_TEXTS = """
SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET xmlbinary = 'base64'
"""
"""Settings on which the text of a value depends."""
_LIST_SQLITE_TABLES = """
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
    AND sql NOT LIKE 'CREATE VIRTUAL%' AND name <> 'sw_restorations' ORDER BY name
"""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class TableContents(msgspec.Struct, frozen=True):
    rows: Count
    digest: str


def measure_postgresql(database: BaseDatabaseWrapper) -> dict[str, TableContents]:
    """Return the contents of each table, except the mark of a restored server."""
    tables = {}
    with database.cursor() as cursor:
        cursor.execute(_SAME_TEXTS)
        cursor.execute(_LIST_TABLES)
        for schema, name, quoted, columns in cursor.fetchall():
            text = f"convert_to(ROW({columns})::text, 'UTF8')"
            prefix = f"'x' || left(encode(sha256({text}), 'hex'), {_HASH_DIGITS})"
            number = f"({prefix})::bit({4 * _HASH_DIGITS})::bigint"
            # PostgreSQL has quoted the names.
            query = f"SELECT count(*), coalesce(sum({number}), 0)::text FROM ONLY {quoted}"  # noqa: S608
            cursor.execute(query)
            key = name if schema == "public" else f"{schema}.{name}"
            tables[key] = TableContents(*cursor.fetchone())
    return tables


def measure_sqlite(file: Path) -> dict[str, TableContents]:
    """Return the same of a file that no process uses. Raises BackupDamaged if it has a fault."""
    tables = {}
    try:
        # Immutable: SQLite writes no journal beside it.
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)
        ) as database:
            if (found := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise BackupDamaged(f"SQLite finds a fault in {file}: {found}.")
            for (name,) in database.execute(_LIST_SQLITE_TABLES).fetchall():
                quoted = name.replace('"', '""')
                rows = digest = 0
                for row in database.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608
                    rows += 1
                    digest += int(sha256(repr(row).encode()).hexdigest()[:_HASH_DIGITS], 16)
                tables[name] = TableContents(rows, str(digest))
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(f"SQLite can't read {file}: {error}.") from None
    return tables


def compare_tables(expected: dict[str, TableContents], found: dict[str, TableContents]) -> None:
    """Raises BackupDamaged, which names the first table that differs."""
    for name in sorted(expected.keys() | found.keys()):
        before, after = expected.get(name), found.get(name)
        if before != after:
            raise BackupDamaged(
                f"The restored table {name} differs from the server's: "
                f"{_describe(after)} instead of {_describe(before)}."
            )


def _describe(table: TableContents | None) -> str:
    return f"{table.rows:,} rows with the digest {table.digest}" if table else "no table"
