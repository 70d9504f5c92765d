"""Verify a backup: restore it into a temporary database, compare that, and drop it."""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import OperationalError, ProgrammingError

from scaiwave.config import Configuration
from scaiwave.config.database import SQLITE
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.create_backup import BackupResult
from scaiwave.operations.backup.databases import (
    get_live_settings,
    open_database,
    open_named_database,
    parse_target,
    restore_sqlite,
)
from scaiwave.operations.backup.errors import TemporaryDatabaseRefused
from scaiwave.operations.backup.manifest import Manifest, check_files, load_manifest
from scaiwave.operations.backup.tables import compare_tables, measure_postgresql, measure_sqlite

_NAME = "scaiwave_verify_{}_{}"
_NAME_PATTERN = re.compile(r"scaiwave_verify_(\d{14})_[0-9a-f]{8}")
_TIME_FORMAT = "%Y%m%d%H%M%S"
_MIN_LEFT_AGE = timedelta(hours=1)
"""The temporary database of a killed process is dropped by a verification this much later."""
_NO_PRIVILEGE = "42501"


def verify_backup(
    *,
    operator: Operator,
    config: Configuration,
    directory: Path,
    server: str | None,
    progress_factory: ProgressFactory,
    now: datetime,
) -> BackupResult:
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
        with tempfile.TemporaryDirectory(prefix="scaiwave-verify-") as temporary:
            copy = Path(temporary, archive.name)
            restore_sqlite(archive, copy, ())
            found = measure_sqlite(copy)
    else:
        settings = _choose_server(config, server)
        check_restore_tools(manifest)
        with _temporary_database(settings, now) as name:
            database = open_database({**settings, "NAME": name})
            with closing(database):
                postgresql.load(database, archive)
                found = measure_postgresql(database)
    compare_tables(manifest.database.tables, found)
    return BackupResult(directory, manifest)


def check_restore_tools(manifest: Manifest) -> None:
    """Raises DatabaseToolUnusable before anything is changed."""
    for name in ("pg_restore", "psql"):
        version = manifest.database.tool_version
        postgresql.get_tool(name, at_least=version, needed_by="the pg_dump of the backup")


def _choose_server(config: Configuration, server: str | None) -> dict[str, Any]:
    if server is not None:
        _, settings = parse_target(config, server, "--server")
    else:
        settings = get_live_settings()
    if settings["ENGINE"] == SQLITE:
        raise UsageError(
            "The backup is of PostgreSQL, and this server uses SQLite."
            if server is None
            else "--server is not a server of PostgreSQL.",
            fix="Pass --server with the URL of a PostgreSQL server.",
        )
    return settings


@contextmanager
def _temporary_database(settings: dict[str, Any], now: datetime) -> Iterator[str]:
    """Yield the name of a new database on a server, and drop it at the end."""
    name = _NAME.format(now.astimezone(UTC).strftime(_TIME_FORMAT), secrets.token_hex(4))
    maintenance = open_named_database(settings, "--server or SCAIWAVE_DB_URL")
    with closing(maintenance), maintenance.cursor() as cursor:
        _drop_left_databases(cursor, now)
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


def _drop_left_databases(cursor: Any, now: datetime) -> None:
    """Drop the databases of killed verifications, which have no connection."""
    cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'scaiwave_verify_%'")
    for (name,) in cursor.fetchall():
        if match := _NAME_PATTERN.fullmatch(name):
            created_at = datetime.strptime(match[1], _TIME_FORMAT).replace(tzinfo=UTC)
            if now - created_at > _MIN_LEFT_AGE:
                # It may be in use, or belong to another role.
                with suppress(OperationalError, ProgrammingError):
                    cursor.execute(f"DROP DATABASE {name}")
