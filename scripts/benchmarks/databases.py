"""Home directories with an empty, migrated database, and the database servers."""

from __future__ import annotations

import base64
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from scripts.benchmarks.metrics import BenchmarkError
from tests.services.manager import manage_service
from tests.services.unprivileged_user import DISK, ServiceUnavailable

TOP = Path(__file__).parents[2]
SQLITE_FILE = "scaiwave.sqlite3"
POSTGRES_URL = "SCAIWAVE_BENCH_POSTGRES_URL"
_OWN_PREFIXES = ("SCAIWAVE_", "DJANGO_", "PG")


@dataclass(frozen=True)
class Database:
    """A database to measure on; `server` is the URL of its server, empty for SQLite."""

    name: str
    version: str
    server: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


def sqlite_database() -> Database:
    import sqlite3

    return Database("SQLite", sqlite3.sqlite_version)


@contextmanager
def postgresql_database() -> Iterator[Database]:
    """Yield the server of SCAIWAVE_BENCH_POSTGRES_URL, or else a temporary one.

    The temporary server does not wait for the disk (`fsync` is off). Raises `ServiceUnavailable` if
    it can't be started.
    """
    if url := os.environ.get(POSTGRES_URL):
        yield Database("PostgreSQL", _get_version(url), url)
        return
    with manage_service("postgres", DISK) as manager:
        service = manager.wait_for_service()
        yield Database(service.name, service.version, service.url)


def open_databases(choice: str, stack: ExitStack) -> Iterator[Database]:
    """Yield the chosen database, or both; `stack` closes them."""
    if choice != "postgresql":
        yield sqlite_database()
    if choice != "sqlite":
        yield stack.enter_context(postgresql_database())


def run_on_databases(
    choice: str, measure: Callable[[Database], Any], report_file: Path | None
) -> int:
    """Measure each chosen database and write the results as JSON; return the exit code.

    Errors of the benchmark are printed to stderr.
    """
    exit_on_termination()
    try:
        with ExitStack() as stack:
            report = [measure(database) for database in open_databases(choice, stack)]
    except (ServiceUnavailable, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    if report_file is not None:
        report_file.write_text(json.dumps(report) + "\n")
    return 0


def exit_on_termination() -> None:
    """End this process through its finally blocks on SIGTERM, which stops the servers."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _get_version(url: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        # Distributions append the name of their package.
        return (connection.info.parameter_status("server_version") or "?").partition(" ")[0]


@contextmanager
def empty_home(database: Database) -> Iterator[dict[str, str]]:
    """Yield the environment of a server with an empty database; both are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as home:
        environment = _build_environment(Path(home))
        if not database.server:
            file = Path(home) / SQLITE_FILE
            file.touch(0o600)
            file.write_bytes(_read_migrated_file())
            yield environment
            return
        with _new_database(database.server) as url:
            environment["SCAIWAVE_DB_URL"] = url
            _migrate(environment)
            yield environment


@functools.cache
def _read_migrated_file() -> bytes:
    """Migrate an SQLite database, which takes seconds, once for all homes of this process."""
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as home:
        _migrate(_build_environment(Path(home)))
        return (Path(home) / SQLITE_FILE).read_bytes()


def _build_environment(home: Path) -> dict[str, str]:
    """Return this process's environment without the settings of a real server."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES)
    }
    return inherited | {
        "NO_PROXY": "127.0.0.1",
        "SCAIWAVE_HOME": str(home),
        "SCAIWAVE_PROFILE": "cli",
        "SCAIWAVE_SECRET_KEY": secrets.token_urlsafe(48),
        "SCAIWAVE_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
    # The full profile has all apps, and so all migrations.
    environment = {**environment, "SCAIWAVE_PROFILE": "full"}
    subprocess.run(command, cwd=TOP, env=environment, check=True, stdin=subprocess.DEVNULL)


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
