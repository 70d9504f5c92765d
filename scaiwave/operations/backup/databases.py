"""Open databases by their settings or URL, and copy SQLite's."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.db import OperationalError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from scaiwave.config import Configuration
from scaiwave.config.database import SQLITE, database_settings
from scaiwave.core.errors import DatabaseUnreachable, DiskFull, SettingInvalid, UsageError
from scaiwave.core.files import (
    DRAFT_SUFFIX,
    atomic_write,
    create_private_file,
    remove_abandoned_drafts,
    translate_write_errors,
)
from scaiwave.operations.backup.errors import BackupDamaged, DatabaseNotEmpty
from scaiwave.operations.backup.manifest import iter_chunks
from scaiwave.storage.error_mapping import DatabaseBusy

MAX_WAIT_SECONDS = 30.0
"""As long as other commands wait for a lock of SQLite."""
_HAS_TABLES = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema')
"""


def open_database(settings: dict[str, Any]) -> BaseDatabaseWrapper:
    """Return a connection of its own to a database, which is opened on first use."""
    return ConnectionHandler({"default": settings})["default"]


def open_named_database(settings: dict[str, Any], option: str) -> BaseDatabaseWrapper:
    """Connect to a database that an option names. Raises DatabaseUnreachable, which names it."""
    database = open_database(settings)
    try:
        database.ensure_connection()
    except (OperationalError, ProgrammingError) as error:  # the latter for an unknown option
        raise DatabaseUnreachable(
            f"The database of {option} can't be used: {' '.join(str(error).split())}.",
            fix=f"Create it with `createdb`, or correct {option}.",
        ) from None
    return database


def parse_target(
    config: Configuration, url: str, option: str
) -> tuple[Configuration, dict[str, Any]]:
    """Return the configuration of a server with this database, and Django's settings of it.

    The password is not part of the URL: for the role and server of SCAIWAVE_DB_URL its password is
    used, and else libpq finds one. Raises UsageError.
    """
    try:
        parts = urlsplit(url)
        has_password = bool(parts.password) or "password" in parse_qs(parts.query)
        target = replace(config, environment={**config.environment, "SCAIWAVE_DB_URL": url})
        settings = database_settings(target)
    except (ValueError, SettingInvalid):
        raise UsageError(
            f"{option} is not a URL of PostgreSQL or SQLite.",
            fix="Write it as postgres://user@host:5432/name or sqlite:////path/to/file.",
        ) from None
    if has_password:
        raise UsageError(
            f"{option} contains a password, which every user of this host can read.",
            fix="Leave it out: the password of SCAIWAVE_DB_URL is used for the same role and "
            "server, and else PGPASSWORD or ~/.pgpass.",
        )
    live = database_settings(config)
    if _get_server(settings) == _get_server(live) and settings.get("USER") == live.get("USER"):
        settings["PASSWORD"] = live["PASSWORD"]
    return target, settings


def _get_server(settings: dict[str, Any]) -> list[str]:
    host = settings["OPTIONS"].get("host") or settings.get("HOST")
    return [str(value or "") for value in (settings["ENGINE"], host, settings.get("PORT"))]


def require_empty(settings: dict[str, Any]) -> None:
    """Raises DatabaseNotEmpty, and the errors of a database that can't be used."""
    if settings["ENGINE"] == SQLITE:
        path = Path(settings["NAME"])
        # A journal of another database beside the file would be applied to it.
        if taken := [
            f"{path}{end}" for end in ("", "-wal", "-shm") if Path(f"{path}{end}").exists()
        ]:
            raise DatabaseNotEmpty(f"{taken[0]} exists already. Nothing was restored.")
        return
    database = open_named_database(settings, "--into")
    with closing(database), database.cursor() as cursor:
        cursor.execute(_HAS_TABLES)
        if cursor.fetchone()[0]:
            raise DatabaseNotEmpty(
                f"The database {settings['NAME']} contains tables already. Nothing was restored."
            )


def back_up_sqlite(target: Path) -> None:
    """Copy the live database to a new file, as of one moment, by SQLite's backup API."""
    connection = connections["default"]
    connection.ensure_connection()
    deadline = time.monotonic() + MAX_WAIT_SECONDS

    def give_up(status: int, remaining: int, total: int) -> None:
        is_waiting = status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        if is_waiting and time.monotonic() > deadline:  # SQLite waits without limit.
            raise DatabaseBusy("Another process has locked the SQLite database.")

    with translate_write_errors(target):
        os.close(create_private_file(target))
    with (
        connection.wrap_database_errors,
        _full_disks(target),
        closing(sqlite3.connect(target)) as copy,
    ):
        connection.connection.backup(copy, progress=give_up)
        # One file without a journal beside it; Django changes the mode again.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()


def restore_sqlite(source: Path, target: Path, script: str = "") -> None:
    """Copy a backup to a new file, and run a script in it before it has its name."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}{DRAFT_SUFFIX}")
    with translate_write_errors(target):
        remove_abandoned_drafts(target)
        with atomic_write(target, overwrite=False, draft=draft) as file:
            file.writelines(iter_chunks(source.open("rb")))
            file.flush()
            try:
                with _full_disks(target), closing(sqlite3.connect(draft)) as copy:
                    copy.executescript(script)
            except sqlite3.DatabaseError as error:
                raise BackupDamaged(f"SQLite can't use {source}: {error}.") from None


@contextmanager
def _full_disks(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}:
            raise
        raise DiskFull(f"{path} can't be written: {error}.") from None


def use_as_default(settings: dict[str, Any]) -> None:
    """Let this process use a database in place of the live one, for everything that follows."""
    connections["default"].close()
    connections["default"] = database = open_database(settings)
    connections.settings["default"] = database.settings_dict
