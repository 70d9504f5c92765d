"""Verify a backup: restore it into a temporary database, compare that, and drop it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import OperationalError, ProgrammingError, connection

from scaiwave.config import Configuration
from scaiwave.config.database import SQLITE
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.databases import (
    open_database,
    open_named_database,
    parse_target,
)
from scaiwave.operations.backup.errors import TemporaryDatabaseRefused
from scaiwave.operations.backup.manifest import Backup, Manifest, check_files, load_manifest
from scaiwave.operations.backup.tables import compare_tables, measure_postgresql, measure_sqlite

_OPTION = "--server"
_PREFIX = "scaiwave_verify_"
_TIME_FORMAT = "%Y%m%d%H%M%S"
_MIN_LEFT_AGE = timedelta(hours=1)
"""Until then, a temporary database may be in use without a connection."""
_LEFT_DATABASES = "SELECT datname FROM pg_database WHERE datname ~ %s AND datname < %s"
_NO_PRIVILEGE = "42501"


def verify_backup(
    *,
    operator: Operator,
    config: Configuration,
    directory: Path,
    server: str | None,
    progress_factory: ProgressFactory,
    now: datetime,
) -> Backup:
    """Compare every file with the manifest, and every table of the restored database.

    `server` is the URL of another PostgreSQL server for the temporary database. Raises
    BackupNotFound, BackupDamaged, TemporaryDatabaseRefused, DatabaseToolUnusable and
    DatabaseToolFailed.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    manifest = load_manifest(directory)
    check_files(directory, manifest, progress_factory)
    archive = directory / manifest.database.file
    if manifest.database.kind == "sqlite":
        found = measure_sqlite(archive)
    else:
        settings = _choose_server(config, server)
        require_restore_tools(manifest)
        with _temporary_database(settings, now) as name:
            database = open_database({**settings, "NAME": name})
            with closing(database):
                postgresql.load(database, archive)
                found = measure_postgresql(database)
    compare_tables(manifest.database.tables, found)
    return Backup(directory, manifest)


def require_restore_tools(manifest: Manifest) -> None:
    """Raises DatabaseToolUnusable before anything is changed."""
    version = manifest.database.tool_version
    for name in ("pg_restore", "psql"):
        postgresql.require_tool(name, at_least=version, needed_by="the pg_dump of the backup")


def _choose_server(config: Configuration, server: str | None) -> dict[str, Any]:
    settings = (
        connection.settings_dict if server is None else parse_target(config, server, _OPTION)[1]
    )
    if settings["ENGINE"] == SQLITE:
        raise UsageError(
            f"The backup is of PostgreSQL, and {_OPTION if server else 'this server'} is not.",
            fix="Pass --server with the URL of a PostgreSQL server.",
        )
    return settings


@contextmanager
def _temporary_database(settings: dict[str, Any], now: datetime) -> Iterator[str]:
    """Yield the name of a new database on a server, and drop it at the end.

    Databases of killed verifications are dropped first.
    """
    name = f"{_PREFIX}{now.astimezone(UTC):{_TIME_FORMAT}}_{secrets.token_hex(4)}"
    maintenance = open_named_database(settings, f"{_OPTION} or SCAIWAVE_DB_URL")
    with closing(maintenance), maintenance.cursor() as cursor:
        latest = f"{_PREFIX}{now.astimezone(UTC) - _MIN_LEFT_AGE:{_TIME_FORMAT}}"
        cursor.execute(_LEFT_DATABASES, [rf"^{_PREFIX}\d{{14}}_[0-9a-f]{{8}}$", latest])
        for (left,) in cursor.fetchall():
            # It may be in use, or belong to another role.
            with suppress(OperationalError, ProgrammingError):
                cursor.execute(f"DROP DATABASE {left}")
        try:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        except ProgrammingError as error:
            if getattr(error.__cause__, "sqlstate", None) != _NO_PRIVILEGE:
                raise
            raise TemporaryDatabaseRefused(
                f"{settings['USER'] or 'The role'} may not create a temporary database on this "
                "server."
            ) from None
    try:
        yield name
    finally:
        # The connection from before may have been idle for hours.
        maintenance = open_database(settings)
        with closing(maintenance), maintenance.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
