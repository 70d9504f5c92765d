"""Translate database, filesystem and S3 exceptions into errors of this suite."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    connection,
)

from scaiwave.config.database import is_missing_file
from scaiwave.core.completed_work import describe_works
from scaiwave.core.errors import (
    CommitUnknown,
    ConfigurationError,
    ConflictError,
    DatabaseLost,
    DatabaseUnreachable,
    DiskFull,
    FileUnwritable,
    LostAfterCommit,
    MigrationsPending,
    RefusedError,
    ScaiWaveError,
)
from scaiwave.core.files import DISK_FULL_ERRNOS, UNUSABLE_ERRNOS
from scaiwave.core.unconfirmed_commits import UnconfirmedCommit, find_unconfirmed_commit
from scaiwave.storage.media import MediaStoreUnusable, s3_error_types

# SQLSTATE codes (PostgreSQL docs, appendix A).
_MISSING_STATES = {"42P01", "42703", "3F000"}  # a table, column or schema
_DISK_FULL_STATES = {"53100"}
_BUSY_STATES = {"40001", "40P01", "55P03", "57014"}  # serialisation, deadlock, lock, time-out
_UNUSABLE_STATES = {"42501", "25006", "25P03"}  # no privilege, read only, ended by a limit
_RESTRICT_VIOLATION = "23001"

# SQLite's primary result codes are the low byte of the extended ones.
_SQLITE_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_UNUSABLE_CODES = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
_SQLITE_WRITE_CODES = {
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_CANTOPEN,
}
MAX_ERROR_CHARS = 1000
"""The longest part of a message of the database or the media store that is shown."""

_PROBE_BYTES = 64 * 1024
"""More than SQLite writes at once."""


SERVER_HOME = Path("/var/lib/scaiwave")
"""The home directory of a server that was installed as documented."""
_SPACE_FIX = "Free some space, then run the same command again."


class DatabaseBusy(ConflictError):
    """Another process has held the database, or the same rows, for too long."""

    code = "SW_DATABASE_BUSY"
    fix = "Try again in a moment. If it happens again, find the process that holds the database."


class DatabaseDamaged(ConfigurationError):
    """All migrations are recorded as applied, but one of their tables or columns is missing."""

    code = "SW_DATABASE_DAMAGED"
    fix = "Restore it from a backup. If it was not changed manually, report this as a defect."


class AppendOnly(RefusedError):
    """A command tried to change or delete an audit entry, and the database refused."""

    code = "SW_APPEND_ONLY"
    fix = "No changes were made. Add another entry that corrects the wrong one."
    remedy = "Nothing was changed. To correct a mistake, do the opposite; that is audited too."


@contextmanager
def translate_errors() -> Iterator[None]:
    """Replace exceptions that an operator or the environment can cause by errors of this suite.

    A signal that a database error has hidden is raised again. Other exceptions are defects, and
    keep their traceback.
    """
    try:
        yield
    except Error as error:
        if hidden := _find_hidden_signal(error):
            raise hidden from None
        if (ours := map_database_error(error)) is None:
            raise
        raise ours from error
    except OSError as error:
        if (ours := map_os_error(error)) is None:
            raise
        raise ours from error
    except s3_error_types() as error:
        raise MediaStoreUnusable(
            f"The media store can't be used: {_format_sentence(str(error))}"
        ) from error


def _find_hidden_signal(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the signal that a database error was raised after, if any.

    A signal during a commit leaves the session busy, so that Django's rollback fails.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def map_os_error(error: OSError) -> ScaiWaveError | None:
    if error.errno in DISK_FULL_ERRNOS:
        if not error.filename:
            # It may be stdout: the reader has got a part.
            return DiskFull("No space left to write the output.", fix=_SPACE_FIX)
        return DiskFull(f"No space left to write {error.filename}.")
    if error.errno == errno.ENOENT and error.strerror != os.strerror(errno.ENOENT):  # of `tempfile`
        return FileUnwritable(f"{error.strerror}.", fix="Free some space there, or set TMPDIR.")
    if isinstance(error, PermissionError) and error.filename:
        return FileUnwritable(
            f"{error.filename} can't be used: permission denied.",
            fix="Run as the user who owns it, or change its owner.",
        )
    if error.errno in UNUSABLE_ERRNOS and error.filename:
        return FileUnwritable(
            f"{error.filename} can't be used: {error.strerror}.",
            fix="Check the disk of that file, its mount options and the limits of this process.",
        )
    return None


def map_storage_error(error: Exception) -> ScaiWaveError:
    """Map an exception of `storage_error_types`, raised while the media store was written to."""
    if isinstance(error, OSError) and (mapped := map_os_error(error)):
        return mapped
    reason = getattr(error, "strerror", None) or str(error).rstrip(".")
    return MediaStoreUnusable(f"The media store can't be written to: {reason}.")


def map_database_error(error: Error) -> ScaiWaveError | None:
    if (lost := find_unconfirmed_commit(error)) and (mapped := _map_lost_commit(lost)):
        return mapped
    cause = error.__cause__
    if isinstance(error, IntegrityError) and _is_refused_by_trigger(cause):
        return AppendOnly(f"{_format_database_name()} refuses that: {_format_sentence(str(cause))}")
    if isinstance(cause, sqlite3.Error):
        return _map_sqlite_error(cause)
    state = getattr(cause, "sqlstate", None)
    if state in _MISSING_STATES:
        return _missing_object_error(str(cause))
    if state in _DISK_FULL_STATES:
        return DiskFull(f"{_format_database_name()} has no space left on its disk.")
    if state in _BUSY_STATES:
        return DatabaseBusy(f"{_format_database_name()} is busy with another transaction.")
    unusable = isinstance(error, OperationalError | InterfaceError | NotSupportedError)
    # The server sends a state with each error. An error without one is about the connection, such
    # as two answers to one request.
    unusable = unusable or (type(error) in {DatabaseError, InternalError} and state is None)
    # Not connected: this includes connection options that libpq does not know.
    if unusable or state in _UNUSABLE_STATES or connection.connection is None:
        return _lost_error() if _is_silent(error) else _unusable_error(str(cause or error))
    return None


def _is_silent(error: BaseException | None) -> bool:
    """Whether it is `ServerSilent`, or came after it, as from the connection that it has closed."""
    if getattr(connection.connection, "is_silent", False):
        return True
    while error is not None and not getattr(error, "is_silent", False):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_refused_by_trigger(cause: BaseException | None) -> bool:
    """Whether it is the error of the triggers that keep the audit log, which no others raise."""
    return (
        getattr(cause, "sqlstate", None) == _RESTRICT_VIOLATION
        or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_TRIGGER
    )


def _map_lost_commit(lost: UnconfirmedCommit) -> ScaiWaveError | None:
    """Return None if the transaction was only a step, which the next run finds."""
    if not lost.works:
        return None
    name, works = _format_database_name(), describe_works(lost.works)
    show = f"Run `{lost.works[-1].command}` to see"
    if lost.is_saved:
        return LostAfterCommit(
            f"{name} saved the changes, but its response was lost: {works}.",
            fix=f"{show} the result, and this command again only if some of it is missing.",
        )
    return CommitUnknown(
        f"{name} was lost before it confirmed that it saved the changes: {works}.",
        fix=f"{show} whether they were saved, before you run this command again.",
    )


def _map_sqlite_error(cause: sqlite3.Error) -> ScaiWaveError | None:
    extended = getattr(cause, "sqlite_errorcode", 0)
    code = extended & 0xFF
    text = str(cause)
    if code == sqlite3.SQLITE_FULL or (extended in _SQLITE_WRITE_CODES and _is_disk_full()):
        return DiskFull(f"{_format_database_name()} has no space left on its disk.")
    if code in _SQLITE_BUSY_CODES:
        return DatabaseBusy(f"{_format_database_name()} is locked by another process.")
    if code == sqlite3.SQLITE_CANTOPEN and is_missing_file(connection.settings_dict):
        return missing_file_error()
    if code in _SQLITE_UNUSABLE_CODES:
        return _unusable_error(text)
    if any(phrase in text for phrase in ("no such table", "no such column", "has no column")):
        return _missing_object_error(text)
    return None


def missing_file_error() -> MigrationsPending:
    fix = "Run `scaiwave manage migrate` to create it, or check SCAIWAVE_HOME and SCAIWAVE_DB_URL."
    if "SCAIWAVE_HOME" not in settings.CONFIG.environment and SERVER_HOME.is_dir():
        fix = (
            f"This host has a home directory in {SERVER_HOME}: set SCAIWAVE_HOME={SERVER_HOME}, "
            "and run the command as its owner. To create another database, run "
            "`scaiwave manage migrate`."
        )
    return MigrationsPending(f"{_format_database_name()} does not exist yet.", fix=fix)


def older_schema_error() -> MigrationsPending:
    return MigrationsPending(f"{_format_database_name()} is not migrated to this version.")


def _is_disk_full() -> bool:
    """Whether SQLite's files can't grow, which it reports as an I/O error in some places.

    The disk may be full, or the size of a file limited for this process.
    """
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return True
    directory = Path(os.path.realpath(connection.settings_dict["NAME"])).parent
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            os.pwrite(probe.fileno(), b"x" * _PROBE_BYTES, 0)
    except OSError as error:
        return error.errno in DISK_FULL_ERRNOS
    return False


def _missing_object_error(what: str) -> ScaiWaveError:
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return older_schema_error()
    return DatabaseDamaged(
        f"{_format_database_name()} lacks a table or column of its migrations: "
        f"{_format_sentence(what)}"
    )


def _unusable_error(reason: str) -> DatabaseUnreachable:
    fix = "Check SCAIWAVE_DB_URL, and that the server runs and accepts this user."
    if connection.vendor == "sqlite":
        fix = "Check that it is an SQLite database, and that it and its directory are writable."
    return DatabaseUnreachable(
        f"{_format_database_name()} can't be used: {_format_sentence(reason)}", fix=fix
    )


def _lost_error() -> DatabaseLost:
    return DatabaseLost(
        f"{_format_database_name()} has stopped responding.",
        fix="Check the network, and any pooler in between. Then run the same command again.",
    )


def _format_sentence(text: str) -> str:
    """Return the first line of a database's message, without secrets and with a full stop."""
    first = settings.CONFIG.mask_answer(text.strip().partition("\n")[0], MAX_ERROR_CHARS)
    return first.rstrip(".") + "."


def _format_database_name() -> str:
    """Return the name of the database, without its password, to begin a sentence with."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"The database {given['NAME']}"
    port = f":{given['PORT']}" if given["PORT"] else ""
    return f"The database {given['NAME']} on {given['HOST'] or 'the local socket'}{port}"
