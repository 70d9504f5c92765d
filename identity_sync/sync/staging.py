"""Create, fill and index the temporary tables of a sync, which `tables` declares.

Other sessions can't see them, and they end with the connection.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import Any, TypeVar

from django.db import Error, IntegrityError, connection, transaction

from identity_sync.sync.tables import TABLES
from scaiwave.core.sql import batched, execute
from scaiwave.ids import new_id_hex

BATCH = 5000

COPY_ROWS = 1000
"""Rows in one statement that fills a temporary table. While it runs nothing that was fetched is
taken, so a long one would leave the threads that fetch idle."""

CACHE_KIB = 8000
"""What SQLite keeps in memory of the database while a sync runs, and as much again of the temporary
tables until the connection is closed: each row is written at random places of some indexes."""
_DEFAULT_CACHE_KIB = 2000

T = TypeVar("T")
StagedRow = tuple[str | int | None, ...]
"""The values of a row in the order of the columns, without its `key`."""


@contextmanager
def temporary_tables() -> Iterator[None]:
    """Create all tables, empty, and drop them afterwards."""
    try:
        _create_tables()
        yield
    except BaseException:
        try:
            _drop_tables()
        except Error:
            connection.close()  # This drops them as well.
        raise
    _drop_tables()


def _create_tables() -> None:
    if connection.vendor == "postgresql":
        # PostgreSQL overestimates some of these statements so much that compiling them takes as
        # long as running them.
        execute("SET jit = off")
    else:
        # Their rows also exist in the database, so overwriting them when they are dropped is of no
        # use. Some builds of SQLite do so by default.
        execute("PRAGMA temp.secure_delete = OFF")
        execute(f"PRAGMA main.cache_size = -{CACHE_KIB}")
        execute(f"PRAGMA temp.cache_size = -{CACHE_KIB}")
    types = _TYPES[connection.vendor]
    statements = list(_DROPS[connection.vendor])
    for name, table in TABLES.items():
        columns = ", ".join(f"{key} {types.get(kind, kind)}" for key, kind in table.columns.items())
        columns = columns.format(first_digits=new_id_hex()[:-8])
        statements.append(f"CREATE TEMPORARY TABLE {name} ({columns})")
        if table.index:
            first = table.index.partition(",")[0]
            statements.append(f"CREATE INDEX {name}_{first} ON {name} ({table.index})")
    _define(statements)


# On SQLite a number is the number of its row, which takes no index.
_TYPES = {
    "postgresql": {
        "flag": "integer",
        "number": "integer",
        "key": "uuid GENERATED ALWAYS AS "
        "(('{first_digits}' || lpad(to_hex(n), 8, '0'))::uuid) STORED",
    },
    "sqlite": {
        "flag": "integer",
        "number": "INTEGER PRIMARY KEY",
        "key": "text GENERATED ALWAYS AS ('{first_digits}' || printf('%%08x', n)) VIRTUAL",
        "uuid": "text",
    },
}
# With the schema, so that a name never means a permanent table.
_DROPS = {
    vendor: [f"DROP TABLE IF EXISTS {schema}.{name}" for name in TABLES]
    for vendor, schema in (("postgresql", "pg_temp"), ("sqlite", "temp"))
}


def _drop_tables() -> None:
    _define(_DROPS[connection.vendor])
    if connection.vendor == "postgresql":
        execute("RESET jit")
    else:
        # The cache of the temporary tables stays until the connection is closed: SQLite 3.46 loses
        # their changed pages if it is reduced and a transaction changes nothing in them after that.
        execute(f"PRAGMA main.cache_size = -{_DEFAULT_CACHE_KIB}")


def _define(statements: list[str]) -> None:
    """Create or drop tables. PostgreSQL gets all statements at once: each alone is a transaction,
    which waits for the network and for the disk."""
    for sql in ["; ".join(statements)] if connection.vendor == "postgresql" else statements:
        execute(sql)


def find_off_reason(table: str) -> str:
    """SQL for why access is kept in the tenant of a row; a partner is kept for any tenant."""
    note = "(SELECT min(ot.note) FROM off_tenants ot"
    return f"COALESCE({note} WHERE ot.tenant_id = {table}.tenant_id), {note}))"


def copy_rows(table: str, rows: Iterable[StagedRow]) -> None:
    """Insert rows into a temporary table; each row has a value for every column but a `key`.

    A batch is collected before a statement begins, so that no statement or transaction stays open
    while the rows arrive over a slow network.
    """
    # If the database fails, close the source at once: it may own threads that fetch.
    columns = TABLES[table].filled
    with closing(_make_closable(rows)) as source:
        for batch in batched(source, COPY_ROWS):
            if connection.vendor == "postgresql":
                with (
                    connection.wrap_database_errors,  # Django does so for its own methods only.
                    connection.cursor() as cursor,
                    cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
                ):
                    for row in batch:
                        copy.write_row(row)
            else:
                marks = ", ".join("?" * len(batch[0]))
                with _sqlite_transaction() as raw:
                    raw.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", batch)


def _make_closable(rows: Iterable[T]) -> Generator[T]:
    """Yield the rows from a generator, which can be closed whatever iterable they come from."""
    yield from rows


@contextmanager
def _sqlite_transaction() -> Iterator[Any]:
    """Run inserts in one transaction that takes no lock on the database file."""
    connection.ensure_connection()
    raw = connection.connection
    if raw.in_transaction:
        yield raw
        return
    raw.execute("BEGIN DEFERRED")
    try:
        yield raw
    except BaseException:
        raw.execute("ROLLBACK")
        raise
    raw.execute("COMMIT")


def deduplicate(table: str) -> int:
    """Index a loaded table and delete repeated rows; return how many were deleted."""
    deleted = 0
    if not _create_unique_index(table):
        deleted = execute(
            f"DELETE FROM {table} WHERE n IN (SELECT n FROM (SELECT n, row_number() OVER ("
            f"PARTITION BY {TABLES[table].unique} ORDER BY n) AS place "
            f"FROM {table}) AS ranked WHERE place > 1)"
        )
        _create_unique_index(table)
    index_numbers(table)
    return deleted


def index_numbers(table: str) -> None:
    """Let rows be found by `n` once the table is filled; on SQLite they are anyway."""
    if connection.vendor == "postgresql":
        execute(f"CREATE INDEX IF NOT EXISTS {table}_n ON {table} (n)")
        analyze(table)


def index_filled(table: str, *columns: str) -> None:
    """Index a table that was filled, unless it is, for look-ups that only some runs make.

    Call it before a statement that would otherwise read the table once for each of many rows.
    """
    names = "_".join(column.removesuffix("_id") for column in columns)
    execute(f"CREATE INDEX IF NOT EXISTS {table}_by_{names} ON {table} ({', '.join(columns)})")


def index_plan_rows() -> None:
    """Let the rows of the plan be found by their ID."""
    index_filled("sync_plan", "kind", "row_id", "action")


def index_plan_records() -> None:
    """Let the rows of the plan be found by their ScaiKey ID."""
    index_filled("sync_plan", "scaikey_id", "kind", "action")


def _create_unique_index(table: str) -> bool:
    """Create an index unless rows are repeated; return whether it was created.

    This takes one pass over the table. On SQLite a transaction would lock the database file.
    """
    with_rollback = transaction.atomic() if connection.vendor == "postgresql" else nullcontext()
    try:
        with with_rollback:
            columns = TABLES[table].unique
            name = f"{table}_{columns.partition(',')[0]}"
            execute(f"CREATE UNIQUE INDEX {name} ON {table} ({columns})")
    except IntegrityError:
        return False
    return True


def analyze(*tables: str) -> None:
    """Tell PostgreSQL how large tables have become: nothing else does so within a session, and
    a plan made for empty tables takes minutes. SQLite plans by its indexes."""
    if connection.vendor == "postgresql":
        execute(f"ANALYZE {', '.join(tables)}")
