"""Each fault is really caused, in a separate process."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.scaiwave.cli_helpers import (
    CHECKOUT,
    EXAMPLE_APP,
    SCRIPT,
    TIMEOUT_SECONDS,
    ProcessResult,
    run_example,
    run_scaiwave,
)

LIST = ("admin", "list-tenants")
MIGRATE = "  Fix: Run `scaiwave manage migrate`, then try again.\n"
USE_SQLITE = (
    "  Fix: Check that it is an SQLite database, and that it and its directory are writable.\n"
)


def name(home: Path) -> str:
    return f"The database {home / 'scaiwave.sqlite3'}"


@pytest.mark.parametrize("words", [LIST, ("manage", "createsuperuser", "--no-input")])
def test_fail_unmigrated(words: tuple[str, ...], home: Path) -> None:
    (home / "scaiwave.sqlite3").touch()
    environment = {"DJANGO_SUPERUSER_USERNAME": "a", "DJANGO_SUPERUSER_PASSWORD": "b"}
    ended = run_scaiwave(*words, DJANGO_SUPERUSER_EMAIL="", **environment)
    assert ended.code == 2
    assert ended.err.endswith(
        f"Error: {name(home)} is not migrated to this version. [SW_DATABASE_UNMIGRATED]\n{MIGRATE}"
    )
    assert "Traceback" not in ended.err


def test_fail_partly_migrated(home: Path) -> None:
    ended = run_scaiwave("manage", "migrate", "-v0", "contenttypes")
    assert ended.code == 0
    assert "[SW_DATABASE_UNMIGRATED]" in run_scaiwave(*LIST).err


def test_fail_missing_table(migrated: Path) -> None:
    """All migrations are applied, so that migrating would not help."""
    with sqlite3.connect(migrated) as connection:
        connection.execute("DROP TABLE sw_tenants")
    connection.close()
    ended = run_example("admin", "create-tenant")
    assert ended.code == 2
    assert ended.err == (
        f"Error: {name(migrated.parent)} lacks a table or column of its migrations: "
        "no such table: sw_tenants. [SW_DATABASE_DAMAGED]\n"
        "  Fix: Restore it from a backup. If it was not changed manually, report this as a "
        "defect.\n"
    )


def test_fail_no_database_file(home: Path) -> None:
    (home / "scaiwave.sqlite3").write_text("This is a text, and long enough to be looked at.\n" * 9)
    ended = run_scaiwave(*LIST)
    assert ended.code == 2
    assert ended.err == (
        f"Error: {name(home)} can't be used: file is not a database. [SW_DATABASE_UNREACHABLE]\n"
        + USE_SQLITE
    )


def test_fail_database_is_a_directory(home: Path) -> None:
    (home / "scaiwave.sqlite3").mkdir()
    ended = run_scaiwave(*LIST)
    assert ended.code == 2
    assert ended.err == (
        f"Error: {name(home)} can't be used: unable to open database file. "
        f"[SW_DATABASE_UNREACHABLE]\n{USE_SQLITE}"
    )


@pytest.fixture
def unprivileged(home: Path) -> Iterator[int | None]:
    """Return a user to whom permissions apply: another user if this one is root."""
    if os.geteuid() != 0:
        yield None
        return
    other_user = 65534
    for directory in (home, *home.parents):
        if directory == Path(directory.anchor) or directory == Path(gettempdir()):
            break
        directory.chmod(0o755)
    if not _can_run(other_user):
        pytest.skip("root has no other user here who can run this Python")
    yield other_user


def _can_run(user: int) -> bool:
    trial = [sys.executable, "-c", "import scaiwave.cli"]
    try:
        ended = subprocess.run(trial, user=user, cwd="/", capture_output=True, check=False)
    except PermissionError:
        return False
    return ended.returncode == 0


def as_user(user: int | None, *words: str) -> ProcessResult:
    ended = subprocess.run(
        [*SCRIPT, *words],
        env={**os.environ, **EXAMPLE_APP},
        cwd=CHECKOUT,
        user=user,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return ProcessResult(ended.returncode, ended.stdout, ended.stderr)


def test_fail_home_is_read_only(
    home: Path, unprivileged: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.chmod(0o555)
    ended = as_user(unprivileged, "manage", "migrate", "-v0")
    assert ended.code == 2
    assert ended.err == (
        f"Error: {home}/scaiwave.sqlite3 can't be written: Permission denied. "
        f"[SW_FILE_UNWRITABLE]\n"
        f"  Fix: Make the directory {home} and the file writable for this user.\n"
    )
    monkeypatch.delenv("SCAIWAVE_SECRET_KEY")
    ended = as_user(unprivileged, "manage", "migrate", "-v0")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: The home directory {home} can't be written to: Permission denied. "
        "[SW_FILE_UNWRITABLE]\n"
        "  Fix: Make it writable for this user, or set SCAIWAVE_HOME to another directory.\n"
    )


def test_fail_database_is_read_only(migrated: Path, unprivileged: int | None) -> None:
    migrated.chmod(0o444)
    migrated.parent.chmod(0o555)
    ended = as_user(unprivileged, "admin", "create-tenant")
    assert ended.code == 2
    assert "[SW_DATABASE_UNREACHABLE]" in ended.err
    assert ended.err.endswith(USE_SQLITE)


def test_fail_configuration_is_unreadable(home: Path, unprivileged: int | None) -> None:
    (home / ".env").write_text("")
    (home / ".env").chmod(0o000)
    ended = as_user(unprivileged, *LIST)
    assert ended.code == 2
    assert ended.err == (
        f"Error: The configuration file {home / '.env'} can't be read: Permission denied. "
        "[SW_CONFIG_INVALID]\n  Fix: Make it a text file that this user may read.\n"
    )


def test_fail_locked(migrated: Path) -> None:
    holder = sqlite3.connect(migrated, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        url = f"sqlite:///{migrated}?timeout=0"
        ended = run_example("admin", "create-tenant", SCAIWAVE_DB_URL=url)
    finally:
        holder.close()
    assert ended.code == 1
    assert ended.err == (
        f"Error: {name(migrated.parent)} is locked by another process. [SW_DATABASE_BUSY]\n"
        "  Fix: Try again in a moment. If it happens again, find the process that holds the "
        "database.\n"
    )


def test_fail_disk_is_full(migrated: Path) -> None:
    """SQLite's limit of pages is set to the number that it has."""
    statements = [
        "PRAGMA max_page_count = 1",
        "CREATE TABLE x (y)",
        *["INSERT INTO x VALUES (zeroblob(100000))"] * 3,
    ]
    ended = run_example("admin", "create-tenant", "--sql", ";;".join(statements))
    assert ended.code == 1
    assert ended.err == (
        f"Error: {name(migrated.parent)} has no space left on its disk. [SW_DISK_FULL]\n"
        "  Fix: Free some space, then run the same command again; nothing was half written.\n"
    )


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounts need root")
def test_fail_disk_is_full_for_real(migrated: Path, tmp_path: Path) -> None:
    """On a separate file system without a free block."""
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f'mount -t tmpfs -o size=3m tmpfs "{small}" && cp "{migrated}" "{small}" && '
        f'{{ cat /dev/zero >"{small}/rest" 2>/dev/null; exec "$@"; }}'
    )
    command = [*SCRIPT, "admin", "create-tenant"]
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        env={**os.environ, **EXAMPLE_APP, "SCAIWAVE_HOME": str(small)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if "unshare" in ended.stderr or "mount" in ended.stderr:
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {name(small)} has no space left on its disk. ")
    assert ended.stderr.count("\n") == 2


def test_fail_a_defect_in_a_statement_keeps_its_traceback(migrated: Path) -> None:
    ended = run_example("admin", "create-tenant", "--sql", "NONSENSE")
    assert ended.code == 1
    assert "Traceback" in ended.err
