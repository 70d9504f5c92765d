"""Open databases by their settings or URL, fill empty ones, and copy SQLite's."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from django.db import DatabaseError, connection, connections
from django.db.backends.utils import CursorWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import ConnectionHandler

from scaiwave.config import Configuration
from scaiwave.config.database import SQLITE, DatabaseSettings, database_settings
from scaiwave.core.errors import DatabaseUnreachable, DiskFull, SettingInvalid, UsageError
from scaiwave.core.files import (
    DRAFT_SUFFIX,
    atomic_write,
    create_private_file,
    remove_abandoned_drafts,
    translate_write_errors,
)
from scaiwave.core.locks import process_lock
from scaiwave.operations.backup.errors import DatabaseNotEmpty
from scaiwave.operations.backup.libpq import OTHER_SECRETS
from scaiwave.operations.backup.tables import WITHOUT_ROWS, list_sqlite
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.storage.schema_version import MARK_APP

_OWN_NAMES = "^(sw|auth|axes|django)_"
_FIND_FOREIGN = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
    AND NOT (%s AND c.relname ~ %s AND n.nspname = current_schema())
UNION ALL
SELECT oid::regprocedure::text FROM pg_proc WHERE NOT %s AND proname ~ %s
    AND pronamespace = quote_ident(current_schema())::regnamespace LIMIT 1
"""
_LIST_OWN = """
SELECT 'TABLE', string_agg(oid::regclass::text, ', ') FROM pg_class
WHERE relkind = 'r' AND relname ~ %s AND relnamespace = quote_ident(current_schema())::regnamespace
UNION ALL
SELECT 'FUNCTION', string_agg(oid::regprocedure::text, ', ') FROM pg_proc
WHERE proname ~ %s AND pronamespace = quote_ident(current_schema())::regnamespace
ORDER BY 1 DESC
"""
_DRAFT_OPTIONS = {"init_command": "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"}
"""Without another file beside the draft, which is discarded after a failure."""


@contextmanager
def _connected_as_default(settings: DatabaseSettings, option: str) -> Iterator[None]:
    """Raises DatabaseUnreachable, whose fix names the option, until the end of the block."""
    try:
        with used_as_default(settings):
            connection.ensure_connection()
            encoding = connection.connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise DatabaseUnreachable(f"{option} has the encoding {encoding} instead of UTF8.")
            yield
    except DatabaseUnreachable as error:
        if type(error) is DatabaseUnreachable:
            error.fix = (
                f"Check {option}, and that the server runs. Create the role with `createuser`, and "
                "the database with `createdb --owner --encoding=UTF8 --template=template0`."
            )
        raise


def parse_target(
    config: Configuration, url: str, option: str
) -> tuple[Configuration, DatabaseSettings]:
    """Return the configuration of a server with this database, and Django's settings of it.

    Passwords are not part of the URL: for the role and server of SCAIWAVE_DB_URL its passwords are
    used, and else libpq finds one. Raises UsageError.
    """
    try:
        parts = urlsplit(url)
        named = {"password", *OTHER_SECRETS} & parse_qs(parts.query).keys()
        has_password = bool(parts.password or named)
        # An empty setting names the file in the home directory.
        target = replace(config, environment={**config.environment, "SCAIWAVE_DB_URL": url or "?"})
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
        secrets = {name: live["OPTIONS"][name] for name in OTHER_SECRETS & live["OPTIONS"].keys()}
        settings["OPTIONS"] = {**secrets, **settings["OPTIONS"]}
    return target, settings


def _get_server(settings: DatabaseSettings) -> list[str]:
    host = settings["OPTIONS"].get("host") or settings.get("HOST")
    return [str(value or "") for value in (settings["ENGINE"], host, settings.get("PORT"))]


def require_empty(settings: DatabaseSettings, option: str, mark: str) -> None:
    """Raises DatabaseNotEmpty, and the errors of a database that can't be used.

    The database of an interrupted restore with this mark counts as empty.
    """
    if settings["ENGINE"] == SQLITE:
        path = Path(settings["NAME"])
        # A journal of another database beside the file would be applied to it.
        if taken := [
            f"{path}{end}" for end in ("", "-wal", "-shm") if Path(f"{path}{end}").exists()
        ]:
            raise DatabaseNotEmpty(f"{taken[0]} exists already. Nothing was restored.")
        return
    with _connected_as_default(settings, option), connection.cursor() as cursor:
        _require_nothing(cursor, settings, mark)


@contextmanager
def fill_database(
    settings: DatabaseSettings, option: str, mark: str, *, is_kept: bool
) -> Iterator[None]:
    """Let this process use an empty database in place of the live one, and fill it.

    After an exception, and if it is not kept, it is empty again, or its file is gone. A database of
    PostgreSQL has a row that marks it as incomplete until the end, so that nothing uses it. After a
    kill, a restore with the same mark begins again. SQLite's file gets its name at the end.
    """
    if settings["ENGINE"] == SQLITE:
        with _fill_new_file(Path(settings["NAME"])) as draft:
            changes = {"NAME": str(draft), "OPTIONS": _DRAFT_OPTIONS}
            with used_as_default({**settings, **changes}):
                yield
        return
    with (
        _connected_as_default(settings, option),
        process_lock("restore") as is_free,
        connection.cursor() as cursor,
    ):
        if not is_free:
            raise DatabaseNotEmpty(
                f"Another command is restoring into {settings['NAME']}.",
                fix="Wait until it has ended.",
            )
        _require_nothing(cursor, settings, mark)
        cursor.execute("SET statement_timeout = 0")
        empty_database(cursor)
        recorder = MigrationRecorder(connection)
        with connection.schema_editor() as editor:
            editor.create_model(recorder.Migration)
            recorder.record_applied(MARK_APP, mark)
        try:
            yield
        except BaseException:
            with suppress(DatabaseError):  # A lost database keeps the mark.
                empty_database(cursor)
            raise
        if is_kept:
            recorder.record_unapplied(MARK_APP, mark)
        else:
            empty_database(cursor)


def _require_nothing(cursor: CursorWrapper, settings: DatabaseSettings, mark: str) -> None:
    is_marked = (MARK_APP, mark) in MigrationRecorder(connection).applied_migrations()
    cursor.execute(_FIND_FOREIGN, [is_marked, _OWN_NAMES] * 2)
    if found := cursor.fetchone():
        raise DatabaseNotEmpty(
            f"The database {settings['NAME']} is not empty: it contains {found[0]}. "
            "Nothing was restored."
        )


def empty_database(cursor: CursorWrapper) -> None:
    cursor.execute(_LIST_OWN, [_OWN_NAMES, _OWN_NAMES])
    for kind, names in cursor.fetchall():
        if names:
            cursor.execute(f"DROP {kind} {names}")


@contextmanager
def _fill_new_file(target: Path) -> Iterator[Path]:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}{DRAFT_SUFFIX}")
    with translate_write_errors(target):
        remove_abandoned_drafts(target)
        with atomic_write(target, overwrite=False, draft=draft):
            yield draft


def back_up_sqlite(target: Path) -> None:
    """Copy the live database to a new file, as of one moment, without what it has deleted."""
    with translate_write_errors(target):
        os.close(create_private_file(target))
    connection.ensure_connection()
    with (
        connection.wrap_database_errors,
        _full_disks(target),
        closing(sqlite3.connect(target)) as copy,
    ):
        connection.connection.execute("VACUUM INTO ?", [str(target)])
        # One file without a journal beside it; Django changes the mode again.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        copy.execute("PRAGMA secure_delete = ON").fetchone()
        for table in WITHOUT_ROWS & list_sqlite(copy).keys():
            copy.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
        copy.commit()


@contextmanager
def _full_disks(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}:
            raise
        raise DiskFull(f"{path} can't be written: {error}.") from None


@contextmanager
def used_as_default(settings: DatabaseSettings) -> Iterator[None]:
    """Let this process use a database in place of the live one, and name it in errors."""
    live = connections["default"]
    connections["default"] = database = ConnectionHandler({"default": settings})["default"]
    connections.settings["default"] = database.settings_dict
    try:
        with translate_errors():
            yield
    finally:
        database.close()
        connections["default"], connections.settings["default"] = live, live.settings_dict
