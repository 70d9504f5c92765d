"""Run the programs of PostgreSQL: `pg_dump` and `pg_restore`.

Data passes through pipes, so that a program ends with this process, and does not complete without
it what this process has begun.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO, cast

from scaiwave.core import locks
from scaiwave.core.sql import execute, fetch, fetch_one
from scaiwave.operations.backup.errors import (
    BackupDamaged,
    DatabaseToolFailed,
    DatabaseToolUnusable,
)
from scaiwave.operations.backup.libpq import pass_connection
from scaiwave.operations.backup.manifest import CHUNK_BYTES
from scaiwave.operations.backup.tables import WITHOUT_ROWS

_LOCK_WAIT = "--lock-wait-timeout=60s"
"""Migrations lock tables; a backup does not wait for them without limit."""
_SESSION = "scaiwave pg_dump "
_LIMITS = "-c tcp_user_timeout=60s -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10"
_END_STALLED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE %s AND datname = current_database() AND usename = current_user
    AND state <> 'active' AND state_change < clock_timestamp() - make_interval(secs => %s)
"""
"""`pg_dump` turns off the limit of its session, which would end it while it waits for `pg_dump`."""
_IS_AT_WORK = """
SELECT FROM pg_stat_activity WHERE application_name = %s
    AND (state = 'active' OR state_change > clock_timestamp() - make_interval(secs => %s))
"""
_COPY = re.compile(rb'COPY (?:.*\.)?"?(.+?)"? (?:\((.+)\))? FROM stdin;\n')
_END_OF_ROWS = b"\\.\n"
_MAX_ROW_BYTES = 256 * 1024**2
"""Much more than any row that the suite writes."""


def require_tool(name: str, *, at_least: str, needed_by: str) -> str:
    """Return the version of a program.

    Raises DatabaseToolUnusable if it is missing, or of an earlier release than `at_least`, which is
    the version that `needed_by` has.
    """
    release = get_release(at_least)
    try:
        answer = subprocess.run(
            [name, "--version"], capture_output=True, text=True, check=True, timeout=30
        )
    except FileNotFoundError:
        problem = "is not installed, or not in PATH"
    except (OSError, subprocess.SubprocessError) as error:
        problem = f"can't be run: {error}"
    else:
        version = re.search(r"\d+(\.\d+)*", answer.stdout)
        if version and get_release(version[0]) >= release:
            return version[0]
        found = version[0] if version else "unknown"
        problem = f"is of release {found}, which is older than {needed_by}, {at_least}"
    raise DatabaseToolUnusable(
        f"{name} {problem}.",
        fix=f"Install the client programs of PostgreSQL {release} or later, such as Debian's "
        "`postgresql-client`, and check PATH.",
    )


def get_release(version: str) -> int:
    """Return 15 for 15.3, and 19 for 19beta1."""
    return int(re.split(r"\D", version)[0])


def get_server_version() -> str:
    return str(fetch_one("SHOW server_version")[0]).partition(" ")[0]


@contextmanager
def open_snapshot(name: str) -> Iterator[str]:
    """Yield the ID of a snapshot that queries of the connection and `pg_dump` read alike.

    `name` is unique, the name of a lock whose session may not stall.
    """
    fetch(_END_STALLED, [f"{_SESSION}%", locks.MAX_SILENT_SECONDS])
    with locks.process_lock(name):
        execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        execute("SET LOCAL statement_timeout = 0")
        yield fetch_one("SELECT pg_export_snapshot()")[0]
        execute("ROLLBACK")


def dump(snapshot: str) -> Iterator[bytes]:
    """Yield the archive of the database, in pg_dump's custom format.

    After each minute without a byte, PostgreSQL is asked about the session of `pg_dump`. Raises
    DatabaseToolFailed if it has ended or waits for `pg_dump`.
    """
    options = ["--format=custom", "--encoding=UTF8", f"--snapshot={snapshot}", "--no-password"]
    options += fetch_one("SELECT '--schema=' || quote_ident(current_schema())")
    options += [f"--exclude-table-data={table}" for table in sorted(WITHOUT_ROWS)]
    session = f"{_SESSION}{snapshot}"
    with pass_connection(session, _LIMITS) as (target, variables, service):
        command = ["pg_dump", *options, _LOCK_WAIT, f"--dbname={target}"]
        with _run(command, variables, [service]) as output:
            while True:
                while not select([output], [], [], locks.MAX_SILENT_SECONDS)[0]:
                    fetch("SELECT pg_stat_clear_snapshot()")
                    if not fetch(_IS_AT_WORK, [session, locks.MAX_SILENT_SECONDS]):
                        raise DatabaseToolFailed("pg_dump failed: its connection stalls.")
                if not (chunk := os.read(output.fileno(), CHUNK_BYTES)):
                    break
                yield chunk


def read_rows(archive: Path) -> Generator[tuple[str, list[str], Iterator[bytes]]]:
    """Yield the name, the columns and the rows of each table in an archive, in COPY's text format.

    They are what the archive says. Its statements are read for these names, and go no further.
    Raises BackupDamaged and DatabaseToolFailed.
    """
    command = ["pg_restore", "--data-only", "--file=-", str(archive)]
    with _explain(archive), _run(command) as output:
        while line := output.readline(CHUNK_BYTES):
            if match := _COPY.fullmatch(line):
                table, names = (text.decode(errors="replace") for text in match.groups(b""))
                rows = _iter_rows(output, archive)
                yield table, [name.strip('"') for name in names.split(", ") if name], rows
                for _ in rows:
                    pass  # The caller has left them.
            elif line.startswith(b"COPY "):
                # Otherwise its rows would be read as statements.
                raise BackupDamaged(
                    f"{archive} has a table whose name can't be read: {line[:80]!r}."
                )


@contextmanager
def _explain(archive: Path) -> Iterator[None]:
    """Without a database, the archive is all that pg_restore can report an error about."""
    try:
        yield
    except DatabaseToolFailed as error:
        raise BackupDamaged(f"{archive} can't be read: {error.message}") from None


def _iter_rows(output: IO[bytes], archive: Path) -> Iterator[bytes]:
    """Yield the lines up to the end of a table, many or a part of a long one at once."""
    lines: list[bytes] = []
    size = row = 0
    while line := output.readline(CHUNK_BYTES):
        if line == _END_OF_ROWS and not row:
            yield b"".join(lines)
            return
        lines.append(line)
        size += len(line)
        row = 0 if line.endswith(b"\n") else row + len(line)
        if row > _MAX_ROW_BYTES:
            raise BackupDamaged(f"{archive} has a row of more than {_MAX_ROW_BYTES:,} bytes.")
        if size > CHUNK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    raise BackupDamaged(f"{archive} ends in the middle of a table.")


@contextmanager
def _run(
    command: list[str], variables: Mapping[str, str] | None = None, files: Collection[int] = ()
) -> Iterator[IO[bytes]]:
    """Run a program with these descriptors, and yield its output.

    It is killed if the block fails. Raises DatabaseToolFailed at its end.
    """
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command,
            env={**os.environ, "LC_ALL": "C", **(variables or {})},
            pass_fds=files,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
        )
        pipe = cast(IO[bytes], process.stdout)
        try:
            yield pipe
        except BaseException:
            process.kill()
            raise
        finally:
            pipe.close()
            process.wait()
        if process.returncode:
            messages.seek(0)
            output = messages.read().decode(errors="replace")
            lines = [line for line in output.splitlines() if line.strip()]
            errors = [line for line in lines if re.search(r"error:|ERROR:|FATAL:", line)]
            message = (*errors, *lines[-1:], f"exit code {process.returncode}")[0]
            raise DatabaseToolFailed(f"{command[0]} failed: {message.strip().rstrip('.')}.")
