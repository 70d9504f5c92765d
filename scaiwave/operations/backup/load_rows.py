"""Load the rows of a backup into an empty database.

No SQL of a backup is executed. The schema is made by the migrations of this release that the
manifest names. Rows enter through statements that are written for that schema, with the
names of its own tables and columns.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management.sql import emit_post_migrate_signal
from django.db import DataError, IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor

from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.errors import BackupDamaged
from scaiwave.operations.backup.manifest import Manifest, iter_checked
from scaiwave.operations.backup.tables import (
    NOT_COMPARED,
    Columns,
    compare_tables,
    list_postgresql,
    list_sqlite,
    measure_postgresql,
    measure_sqlite,
    quote_name,
    quote_names,
    read_sqlite,
    translate_faults,
)
from tenants.models import Restoration

_MAX_VALUE_BYTES = 64 * 1024**2
"""The limit for a row of SQLite, which is much more than the suite writes."""
Rows = Generator[tuple[str, list[str], Any]]

# Keys and indexes are faster to build than to maintain, and checks of keys wait in memory. The text
# of each statement is PostgreSQL's, about the schema that the migrations have made.
_AROUND = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
        pg_get_constraintdef(k.oid)), 1 AS step
FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace
WHERE contype = 'f' AND nspname = current_schema()
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid), 2
FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE NOT indisunique AND NOT indisexclusion AND nspname = current_schema()
UNION ALL
SELECT 'SELECT', format('SELECT setval(pg_get_serial_sequence(%L, %L), '
    'coalesce(max(%I), 0) + 1, false) FROM %s',
    attrelid::regclass, attname, attname, attrelid::regclass), 3
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE attidentity <> '' AND relkind = 'r' AND nspname = current_schema()
ORDER BY step
"""


def load_backup(directory: Path, manifest: Manifest, mark: Restoration | None = None) -> list[str]:
    """Fill the default database, and compare it with the manifest.

    `mark` is written in the same transaction, if the schema has its table. Returns the tables of
    the backup that the schema lacks, and which were left out. Raises BackupDamaged and
    DatabaseToolFailed.
    """
    create_schema(manifest.database.migrations)
    name = manifest.database.file
    archive = directory / name
    rows: Rows
    if is_sqlite := connection.vendor == "sqlite":
        schema = list_sqlite(connection.connection)
        rows = _read_sqlite(archive, schema)
    else:
        schema, rows = list_postgresql(connection), postgresql.read_rows(archive)
    with connection.constraint_checks_disabled(), closing(rows):
        loaded, left_out = _load(
            rows, _copy_sqlite if is_sqlite else _copy_postgresql, schema, mark
        )
    ContentType.objects.clear_cache()  # They have other numbers now.
    compared = {name: columns for name, columns in schema.items() if name not in NOT_COMPARED}
    compared |= loaded
    if is_sqlite:
        with read_sqlite(Path(connection.settings_dict["NAME"])) as database:
            found = measure_sqlite(database, compared)
    else:
        found = measure_postgresql(connection, compared)
    expected = manifest.database.tables
    deque(iter_checked(directory, name, manifest.files[name]), 0)  # It may have changed.
    try:
        compare_tables({name.rpartition(".")[2]: expected[name] for name in expected}, found)
    except BackupDamaged as error:
        if not left_out:
            raise
        raise BackupDamaged(
            f"{error.message} No migration that the manifest names makes {left_out[0]}."
        ) from None
    return left_out


def create_schema(names: Iterable[str]) -> None:
    """Apply the migrations, app.name, and every one of the apps that they do not name.

    The receivers of `post_migrate` then add triggers, full-text tables and permissions.
    """
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    nodes = {tuple(name.split(".", 1)) for name in names} & graph.nodes.keys()
    apps = {app for app, _ in nodes}
    nodes |= {leaf for leaf in graph.leaf_nodes() if leaf[0] not in apps}
    wanted = {each for node in nodes for each in graph.forwards_plan(node)}
    plan = [
        (migration, False)
        for migration, _ in executor.migration_plan(graph.leaf_nodes())
        if (migration.app_label, migration.name) in wanted
    ]
    state = executor.migrate(None, plan=plan)
    emit_post_migrate_signal(0, interactive=False, db="default", apps=state.apps, plan=plan)


def _load(
    rows: Rows,
    copy: Callable[[CursorWrapper, str, list[str], list[str], Any], None],
    schema: Columns,
    mark: Restoration | None,
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns of each table that was loaded, and tables and columns that were not."""
    loaded: dict[str, list[str]] = {}
    left_out = []
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            afterwards = _drop_keys(cursor)
            for table in schema.keys() - NOT_COMPARED:  # Migrations may have added rows.
                cursor.execute(f"DELETE FROM {quote_name(table)}")  # noqa: S608
            for table, columns, contents in rows:
                if table not in schema:
                    left_out.append(table)
                elif table not in NOT_COMPARED:
                    _require_own(table, columns, schema[table], is_new=table not in loaded)
                    loaded[table] = own = [name for name in columns if name in schema[table]]
                    left_out += [f"{table}.{name}" for name in columns if name not in own]
                    copy(cursor, table, columns, own, contents)
            if mark is not None and mark._meta.db_table in schema:
                mark.save(force_insert=True)
            for statement in afterwards:
                cursor.execute(statement)
            connection.check_constraints()
    except (DataError, IntegrityError) as error:
        reason = " ".join(str(error).split())
        raise BackupDamaged(f"The rows of the backup don't fit their tables: {reason}.") from None
    return loaded, left_out


def _require_own(table: str, found: list[str], expected: Iterable[str], *, is_new: bool) -> None:
    if not is_new or len(found) != len(set(found)):
        raise BackupDamaged(f"The backup has the table {table}, or a column of it, twice.")
    if missing := sorted(set(expected).difference(found)):
        raise BackupDamaged(f"The table {table} of the backup lacks the column: {missing[0]!r}.")


def _drop_keys(cursor: CursorWrapper) -> list[str]:
    """Drop what slows down the load, and return the statements that make it again."""
    if connection.vendor == "sqlite":
        return []
    cursor.execute(_AROUND)
    statements = cursor.fetchall()
    for before, _, _ in statements:
        cursor.execute(before)
    return [after for _, after, _ in reversed(statements)]


def _copy_postgresql(
    cursor: CursorWrapper, table: str, columns: list[str], own: list[str], rows: Iterator[bytes]
) -> None:
    # PostgreSQL splits the lines, also into columns that are dropped again.
    names = [name if name in own else f"left_out_{at}" for at, name in enumerate(columns)]
    others = [name for name in names if name not in own]
    for name in others:
        cursor.execute(f"ALTER TABLE {quote_name(table)} ADD {name} text")
    statement = f"COPY {quote_name(table)} ({quote_names(names)}) FROM STDIN"
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        for chunk in rows:
            copy.write(chunk)
    for name in others:
        cursor.execute(f"ALTER TABLE {quote_name(table)} DROP {name}")


def _read_sqlite(file: Path, schema: Columns) -> Rows:
    with read_sqlite(file) as database:
        tables = list_sqlite(database)
        database.set_authorizer(_allow_own_columns)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        for table, columns in tables.items():
            own = [name for name in columns if name in schema.get(table, ())]
            yield table, columns, _iter_rows(database, table, own, file)


def _allow_own_columns(
    action: int, table: str | None, column: str | None, schema: str | None, source: str | None
) -> int:
    """Refuse functions, and tables that are read through a view."""
    is_column = action == sqlite3.SQLITE_READ and source is None
    return (
        sqlite3.SQLITE_OK if is_column or action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_DENY
    )


def _iter_rows(
    database: sqlite3.Connection, table: str, columns: list[str], file: Path
) -> Iterator[Any]:
    with translate_faults(file):
        query = f"SELECT {quote_names(columns)} FROM {quote_name(table)}"  # noqa: S608
        # Not closed with this generator: the database may be closed already.
        yield from chain(database.execute(query))


def _copy_sqlite(
    cursor: CursorWrapper, table: str, columns: list[str], own: list[str], rows: Any
) -> None:
    marks = ", ".join("?" * len(own))
    with connection.wrap_database_errors:
        connection.connection.executemany(
            f"INSERT INTO {quote_name(table)} ({quote_names(own)}) VALUES ({marks})",  # noqa: S608
            rows,
        )
