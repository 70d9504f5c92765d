"""Homes with an empty, migrated database, and the servers they may need."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.services.keeper import keeping

TOP = Path(__file__).parents[2]
POSTGRES_URL = "SCAIWAVE_BENCH_POSTGRES_URL"
_OURS = ("SCAIWAVE_", "DJANGO_", "PG")


@dataclass(frozen=True)
class Database:
    """A kind of database to measure on; `server` is the URL of a server, or empty for SQLite."""

    name: str
    version: str
    server: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


def sqlite() -> Database:
    import sqlite3

    return Database("SQLite", sqlite3.sqlite_version)


@contextmanager
def postgresql() -> Iterator[Database]:
    """The server named in SCAIWAVE_BENCH_POSTGRES_URL, else one of our own for the time.

    Ours does not wait for the disk (`fsync` is off), as the tests want it. Raises
    `ServiceAbsent` if there is neither.
    """
    if url := os.environ.get(POSTGRES_URL):
        yield Database("PostgreSQL", _version(url), url)
        return
    with keeping("postgres") as keeper:
        service = keeper.service()
        yield Database(service.name, service.version, service.url)


def _version(url: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        # A distribution adds the name of its package.
        return (connection.info.parameter_status("server_version") or "?").partition(" ")[0]


@contextmanager
def empty_home(database: Database) -> Iterator[dict[str, str]]:
    """The environment of a server that has a new database and nobody in it; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as home:
        environment = _environment(Path(home))
        if not database.server:
            _migrate(environment)
            yield environment
            return
        with _new_database(database.server) as url:
            environment["SCAIWAVE_DB_URL"] = url
            _migrate(environment)
            yield environment


def _environment(home: Path) -> dict[str, str]:
    """Nothing that is set on this machine for a server of somebody's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {
        "NO_PROXY": "127.0.0.1",
        "SCAIWAVE_HOME": str(home),
        "SCAIWAVE_PROFILE": "cli",
        "SCAIWAVE_SECRET_KEY": secrets.token_urlsafe(48),
        "SCAIWAVE_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
    everything = {**environment, "SCAIWAVE_PROFILE": "full"}
    subprocess.run(command, cwd=TOP, env=everything, check=True, stdin=subprocess.DEVNULL)


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    import psycopg

    name = f"bench_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
