"""Migrated databases, created once per session and copied for each test that starts processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT
from tests.services.postgres import create_database
from tests.settings_env import own_settings


@contextmanager
def prepared(
    request: pytest.FixtureRequest, home: Path, fill: Callable[[str], object] | None = None
) -> Iterator[str]:
    """Yield the URL of a migrated database of this run's type, filled by `fill`.

    With `fill`, it is a copy of the session's `migrated`, which is faster than migrating.
    """
    from tests.conftest import ON_POSTGRES

    if not ON_POSTGRES:
        yield _made(request, home, f"sqlite:///{home / 'prepared.sqlite3'}", fill)
        return
    with create_database(request.getfixturevalue("postgres_url")) as url:
        yield _made(request, home, url, fill)


def _made(
    request: pytest.FixtureRequest, home: Path, url: str, fill: Callable[[str], object] | None
) -> str:
    if fill is None:
        migrate(home, url)
    else:
        copy_database(request.getfixturevalue("migrated"), url)
        fill(url)
    return url


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
        connection.execute(f'CREATE DATABASE "{new}" TEMPLATE "{old}"'.encode())


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
        import sqlite3

        path = self.url.removeprefix("sqlite:///").partition("?")[0]
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            yield connection

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
