"""Run a PostgreSQL of its own, for data that should not reach the live one."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scaiwave.console.output import format_bytes
from scaiwave.core.errors import ConfigurationError, DiskFull
from scaiwave.operations.backup.errors import DatabaseToolFailed, DatabaseToolUnusable

_USUAL_PLACES = ("usr/lib/postgresql/*/bin/pg_ctl", "usr/pgsql-*/bin/pg_ctl")
_OTHERWISE = "pass --server with the URL of an empty database."
_CLUSTER = "--auth=trust --encoding=UTF8 --locale=C --no-sync --no-clean --username="
_SETTINGS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c unix_socket_directories="
_END = 'read -r _; "$0" stop --silent --pgdata="$1/data" --mode=immediate; rm -rf "$1"'
"""Runs until the pipe from this process is closed, however this process ends."""
_MIN_FREE_BYTES = 17 * 1024**2
"""More than a file of PostgreSQL's log, which is removed again if it does not fit."""


@contextmanager
def explain_full_disk(needed: int) -> Iterator[None]:
    """Raise DiskFull if the temporary directory is full, which PostgreSQL may not say."""
    try:
        yield
    except (ConfigurationError, DiskFull, OSError) as error:
        place = tempfile.gettempdir()
        if isinstance(error, DiskFull) or shutil.disk_usage(place).free < _MIN_FREE_BYTES:
            raise DiskFull(
                f"The temporary directory {place} is full: verifying this backup needs about "
                f"{format_bytes(needed)} there.",
                fix="Free some space there, or set TMPDIR to another directory.",
            ) from error
        raise


@contextmanager
def run_temporary_server(needed: int) -> Iterator[str]:
    """Yield the URL of an empty database, to which only this user can connect.

    Until the end, this process has no variables of libpq: they could lead to another server, where
    the role does not exist. Raises DatabaseToolUnusable and DatabaseToolFailed.
    """
    program, account = _find_program(), _choose_account()
    role = f"scaiwave_{secrets.token_hex(8)}"
    directory = tempfile.mkdtemp(prefix="scaiwave-verify-")
    if account:
        os.chown(directory, account["user"], account["group"])
    # Ctrl-C must not end the server before this process has left the database.
    options = {"cwd": directory, "start_new_session": True, **account}
    options |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    end = ["sh", "-c", _END, program, directory]
    variables = {name: os.environ.pop(name) for name in list(os.environ) if name[:2] == "PG"}
    try:
        with subprocess.Popen(end, stdin=subprocess.PIPE, **options), explain_full_disk(needed):
            _control(program, "initdb", f"{_CLUSTER}{role}", options)
            _control(program, "start", f"{_SETTINGS}{directory}", options)
            yield f"postgres://{role}@/postgres?host={directory}"
    finally:
        os.environ.update(variables)


def _find_program() -> str:
    # Debian has it outside of PATH, in a directory for each release.
    usual = [str(path) for place in _USUAL_PLACES for path in Path("/").glob(place)]
    usual.sort(key=lambda path: [int(number) for number in re.findall(r"\d+", path)])
    if found := shutil.which("pg_ctl") or next(reversed(usual), None):
        return found
    raise DatabaseToolUnusable(
        "pg_ctl, a program of PostgreSQL's server, is not installed.",
        fix=f"Install the server, such as Debian's `postgresql`, or {_OTHERWISE}",
    )


def _choose_account() -> dict[str, Any]:
    """Return for root the account that Debian's package has made: root may not run a server."""
    if os.geteuid():
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise DatabaseToolUnusable(
            "PostgreSQL's server does not run as root, and there is no user postgres.",
            fix=f"Run the command as another user, or {_OTHERWISE}",
        ) from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _control(program: str, act: str, settings: str, options: dict[str, Any]) -> None:
    log = Path(options["cwd"], "log")
    command = [program, act, "--silent", "--wait", f"--pgdata={options['cwd']}/data"]
    with log.open("ab") as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        command.append(f"--options={settings}")
        ended = subprocess.run(command, check=False, **{**options, **streams})
    if ended.returncode:
        lines = [f"exit code {ended.returncode}", *log.read_text(errors="replace").splitlines()]
        reason = next((line for line in lines if "error:" in line or "FATAL:" in line), lines[-1])
        raise DatabaseToolFailed(f"{program} {act} failed: {reason.strip().rstrip('.')}.")
