"""Migrated databases, created once per run and copied for each test that starts processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created

from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT
from tests.services.postgres import (
    choose_strategy,
    create_database,
    create_permanent_database,
)
from tests.settings_env import own_settings


def get_migrated(request: pytest.FixtureRequest) -> str:
    """Return the URL of a migrated database of this run's type, to copy.

    The first process of the run that asks for it migrates it.
    """
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ and _has_shared_server():
        shared = shared.parent
    url_file = shared / "migrated.url"
    with (shared / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not url_file.exists():
            url_file.write_text(_create_migrated(request, shared), encoding="utf-8")
    return url_file.read_text(encoding="utf-8")


def _has_shared_server() -> bool:
    """Return whether all processes of the run use the same server, which `scripts/test` started."""
    from tests.conftest import GIVEN_SERVERS, ON_POSTGRES

    return not ON_POSTGRES or GIVEN_SERVERS["postgres"] is not None


def _create_migrated(request: pytest.FixtureRequest, home: Path) -> str:
    from tests.conftest import ON_POSTGRES

    url = f"sqlite:///{home / 'migrated.sqlite3'}"
    if ON_POSTGRES:
        # It is dropped with its server: another process may still need it.
        url = create_permanent_database(request.getfixturevalue("postgres_url"))
    migrate(home, url)
    return url


@contextmanager
def prepared(
    request: pytest.FixtureRequest, home: Path, fill: Callable[[str], object]
) -> Iterator[str]:
    """Yield the URL of a migrated database of this run's type, filled by `fill`."""
    from tests.conftest import ON_POSTGRES

    with ExitStack() as stack:
        url = f"sqlite:///{home / 'prepared.sqlite3'}"
        if ON_POSTGRES:
            url = stack.enter_context(create_database(request.getfixturevalue("postgres_url")))
        copy_database(get_migrated(request), url)
        fill(url)
        yield url


def migrate(home: Path, url: str) -> None:
    subprocess.run(
        [*SCRIPT, "manage", "migrate", "--verbosity", "0"],
        env=environment(home, url),
        cwd=CHECKOUT,
        check=True,
    )


def environment(home: Path, url: str) -> dict[str, str]:
    return {**os.environ, **own_settings(home), "SCAIWAVE_DB_URL": url}


def copy_database(source: str, target: str) -> None:
    """Copy a database to another URL of the same type. Neither may have other connections."""
    if source.startswith("sqlite"):
        shutil.copy(*(url.removeprefix("sqlite:///") for url in (source, target)))
        return
    import psycopg

    old, new = (urlsplit(url).path.removeprefix("/") for url in (source, target))
    maintenance = target.replace(f"/{new}?", "/postgres?")
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{new}"'.encode())
        statement = f'CREATE DATABASE "{new}" TEMPLATE "{old}" {choose_strategy(target)}'
        connection.execute(statement.encode())


_KEPT_TABLES = {"django_content_type", "auth_permission"}


@contextmanager
def copies_for_django(migrated: str) -> Iterator[None]:
    """Copy the migrated database to the one of this process that Django creates for tests."""
    if migrated.startswith("postgres"):
        template = urlsplit(migrated).path.removeprefix("/")
        connection.settings_dict["TEST"]["TEMPLATE"] = template
        yield
        return

    def fill(connection: Any, **details: Any) -> None:
        # The first one is the database in memory, which exists as long as this connection.
        connection_created.disconnect(fill)
        with closing(sqlite3.connect(migrated.removeprefix("sqlite:///"))) as source:
            source.backup(connection.connection)

    connection_created.connect(fill)
    yield
    connection_created.disconnect(fill)


def empty_tables(using: str = "default") -> None:
    """Delete all rows, like Django's `flush`, but touch only the tables that have some.

    Emptying a table takes PostgreSQL milliseconds, and so do the rows that Django writes after
    each flush: its content types and permissions, which no test changes, are kept.
    """
    # Benchmarks import this module without Django's applications.
    from tenants.audit.triggers import (
        install_audit_triggers,
        missing_triggers,
        remove_audit_triggers,
    )

    connection = connections[using]
    models = apps.get_models(include_auto_created=True)
    tables = {model._meta.db_table for model in models if model._meta.managed} - _KEPT_TABLES
    exists = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables)
    on_postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(exists))
        filled = [table for (table,) in cursor.fetchall()]
    with connection.constraint_checks_disabled(), transaction.atomic(using):
        with connection.cursor() as cursor:
            if on_postgres:  # neither foreign keys nor the triggers of the audit log
                cursor.execute("SET LOCAL session_replication_role = replica")
            else:
                remove_audit_triggers(using)
            for table in filled:
                cursor.execute(f"DELETE FROM {table}")
            if on_postgres:
                cursor.execute("SET LOCAL session_replication_role = DEFAULT")
                # As TRUNCATE does: a table that was analysed while it was empty counts as empty.
                cursor.execute(
                    "UPDATE pg_class SET relpages = 0, reltuples = -1 "
                    "WHERE relname = ANY(%s) AND reltuples >= 0",
                    [list(tables)],
                )
        if missing_triggers(using):
            install_audit_triggers(using)


@dataclass(frozen=True)
class RawDatabase:
    """A database as seen by a process other than the one under test."""

    url: str

    @property
    def is_postgres(self) -> bool:
        return self.url.startswith("postgres")

    @contextmanager
    def connected(self) -> Iterator[Any]:
        if self.is_postgres:
            import psycopg

            with psycopg.connect(self.url, autocommit=True) as connection:
                yield connection
            return
        path = self.url.removeprefix("sqlite:///").partition("?")[0]
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            yield connection

    def execute(self, sql: str) -> None:
        with self.connected() as connection:
            connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connected() as connection:
            return list(connection.execute(sql).fetchall())

    def locks(self, condition: str) -> int:
        """Count the rows of `pg_locks` of this database that meet the condition.

        PostgreSQL lists those of all databases of the server, in which other tests may be running.
        """
        return len(
            self.rows(
                "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
                f"WHERE datname = current_database() AND {condition}"
            )
        )
