"""Backups that fail or are killed leave nothing behind, and damage is found."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scaiwave.console.output import format_bytes
from scaiwave.console.progress import null_progress_factory
from scaiwave.operations.backup.errors import BackupDamaged
from scaiwave.operations.backup.manifest import ATTACHMENTS, FileContents, create_directory
from scaiwave.operations.backup.restore_backup import _copy_attachments
from tests.rooms.imports.import_environment import wait_for
from tests.scaiwave.cli_helpers import (
    NO_BYTECODE,
    SCRIPT,
    run_process,
    run_scaiwave,
    start_process,
)
from tests.scaiwave.operations.backup.conftest import CREATE, BackupSite
from tests.scaiwave.operations.backup.test_hostile_backups import UNSIGNED, edit, open_for_all
from tests.tools import require_timers_of_postgres

pytestmark = pytest.mark.once
PATIENCE_SECONDS = 60.0


def write_program(directory: Path, name: str, script: str) -> str:
    """Write a program that stands in for another; return the PATH in which it is the first."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def list_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("file", ["database.*", "secrets/env"])
@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_fail_damaged_file(site: BackupSite, file: str, damage: str) -> None:
    backup = site.back_up()
    path = next(backup.glob(file))
    if damage == "removed":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for ended in (site.verify(backup), site.restore(backup)):
        assert (ended.code, "[SW_BACKUP_DAMAGED]" in ended.err) == (1, True), ended.err
        assert path.name[:20] in ended.err  # Long names are cut.
    site.assert_nothing_restored()


def test_fail_directory_is_missing(site: BackupSite) -> None:
    """It is not created: perhaps a disk is not mounted."""
    missing = site.parent / "unmounted"
    ended = site.run("backup", "--output", str(missing))
    assert ended.code == 2
    assert ended.err == (
        f"Error: {missing} is not a directory. [SW_FILE_UNWRITABLE]\n"
        f"  Fix: Create {missing}, or name another directory.\n"
    )
    assert not missing.exists()
    file = site.home / ".env"
    ended = site.run("backup", "--output", str(file))
    assert ended.err == (
        f"Error: {file} is not a directory. [SW_FILE_UNWRITABLE]\n  Fix: Name another directory.\n"
    )
    inside = site.home / "media/tenant"
    ended = site.run("backup", "--output", str(inside))
    assert ended.code == 2
    assert ended.err == (
        f"Error: {inside} is in the media directory, {site.home}/media, which is backed up. "
        "[SW_USAGE]\n  Fix: Name a directory elsewhere with --output.\n"
    )


def test_fail_restored_table_differs(site: BackupSite) -> None:
    backup = site.back_up()
    edit(backup, lambda each: each["database"]["tables"]["sw_rooms"].update(digest="1"))
    for ended in (site.verify(backup, UNSIGNED), site.restore(backup, UNSIGNED)):
        assert (ended.code, "table sw_rooms differs" in ended.err) == (1, True), ended.err
    site.assert_nothing_restored()


def test_fail_not_a_backup(site: BackupSite, tmp_path: Path) -> None:
    ended = site.verify(tmp_path)
    assert (ended.code, "[SW_BACKUP_NOT_FOUND]" in ended.err) == (1, True), ended.err


def run_on_full_disk(*words: str, size: int = 40_000) -> tuple[int, str, str]:
    """A file that may not grow is like a full disk."""
    with start_process([*SCRIPT, "admin", *words], **NO_BYTECODE) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, err


def test_fail_disk_full(site: BackupSite) -> None:
    """The error names the file that can't be written. PostgreSQL's files have no limit here."""
    code, out, err = run_on_full_disk("backup", "--output", str(site.parent))
    assert (code, out, "[SW_DISK_FULL]" in err) == (1, "", True), err
    assert list_files(site.parent) == []
    if site.is_postgres:
        return
    backup = site.back_up()
    code, out, err = run_on_full_disk("restore", str(backup), "--into", site.empty)
    assert (code, out, "[SW_DISK_FULL]" in err) == (1, "", True), err
    assert Path(site.empty).name in err
    assert str(site.home) not in err
    site.assert_nothing_restored()
    code, out, err = run_on_full_disk("verify-backup", str(backup))
    size = 2 * (backup / "database.sqlite3").stat().st_size
    assert (code, out, err) == (1, "", format_full(Path(tempfile.gettempdir()), size))
    noted = site.name_signer(backup)
    code, out, err = run_on_full_disk("verify-backup", str(backup), noted, size=0)
    assert (code, out) == (2, ""), err
    assert err.startswith("Error: No usable temporary directory found in ['")
    assert err.endswith("']. [SW_FILE_UNWRITABLE]\n  Fix: Free some space there, or set TMPDIR.\n")


def format_full(directory: Path, size: int) -> str:
    return (
        f"Error: The temporary directory {directory} is full: verifying this backup needs about "
        f"{format_bytes(size)} there. [SW_DISK_FULL]\n"
        "  Fix: Free some space there, or set TMPDIR to another directory.\n"
    )


@pytest.mark.only_on("postgresql")
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounts need root")
@pytest.mark.parametrize("size", [20, 42])
def test_fail_temporary_directory_is_full(size: int, site: BackupSite, tmp_path: Path) -> None:
    """For the files of an empty server, or for the rows."""
    backup, small = site.back_up(), tmp_path / "small"
    small.mkdir()
    open_for_all(small)
    script = f'mount -t tmpfs -o size={size}m,mode=1777 tmpfs "{small}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", *SCRIPT]
    ended = run_process([*command, "admin", "verify-backup", str(backup)], TMPDIR=str(small))
    if "unshare" in ended.err or "mount" in ended.err:
        pytest.skip(ended.err.strip())
    needed = 64 * 1024**2 + 15 * (backup / "database.dump").stat().st_size
    assert (ended.code, ended.err) == (1, format_full(small, needed))


def test_fail_audit_log_is_locked(site: BackupSite) -> None:
    """There is no backup that the audit log does not have."""
    lock, patience = "BEGIN IMMEDIATE", "?timeout=1"
    if site.is_postgres:
        require_timers_of_postgres()
        lock = "BEGIN; LOCK TABLE sw_audit_entries IN SHARE MODE"
        patience = "&options=-c%20lock_timeout%3D300"
    with site.connected() as connection:
        for statement in lock.split("; "):
            connection.execute(statement)
        url = f"{site.url}{patience}"
        ended = site.run("backup", "--output", str(site.parent), SCAIWAVE_DB_URL=url)
        connection.execute("ROLLBACK")
    assert (ended.code, "[SW_DATABASE_BUSY]" in ended.err) == (1, True), ended.err
    assert list_files(site.parent) == []


def open_read_fifo(fifo: Path, process: subprocess.Popen[str]) -> int:
    """Wait until the process reads the FIFO, and open it, so that the process goes on waiting."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with suppress(OSError):  # ENXIO until it is read
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_fail_killed_backup(site: BackupSite, number: signal.Signals) -> None:
    """The draft of a killed backup is removed by the next, and one in progress is not."""
    fifo = site.home / "scaikey-register"
    os.mkfifo(fifo)  # Reading it waits.
    with start_process([*SCRIPT, "admin", "backup", "--output", str(site.parent)]) as process:
        writer = open_read_fifo(fifo, process)
        hidden = fifo.rename(site.home / "hidden")
        (draft,) = site.parent.iterdir()
        backup = site.back_up()
        assert set(site.parent.iterdir()) == {draft, backup}
        process.send_signal(number)
        code = process.wait(PATIENCE_SECONDS)
        os.close(writer)
    assert code == (-9 if number == signal.SIGKILL else 143)
    assert draft.exists() is (number == signal.SIGKILL)
    assert hidden.exists()
    second = site.back_up()
    assert set(site.parent.iterdir()) == {backup, second}


@pytest.mark.only_on("postgresql")
def test_fail_killed_restore(
    site: BackupSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of the data, it leaves a schema, in which the next one begins again."""
    backup = site.back_up()
    programs = tmp_path / "programs"
    marker = tmp_path / "waits"
    real = _find("pg_restore")
    script = (
        f'case "$1" in --version) exec {real} --version;; esac\n'
        f'{real} "$@" | head -c 60000\ntouch {marker}\nsleep 60'
    )
    path = write_program(programs, "pg_restore", script)
    words = ["admin", "restore", str(backup), "--into", site.empty]
    with start_process([*SCRIPT, *words], PATH=path) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not marker.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.wait()
    query = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    while site.restored.rows(query):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert site.restored.rows("SELECT count(*) FROM sw_rooms") == [(0,)]
    for used_by in (("manage", "migrate"), ("sync", "status"), ("admin", "list-tenants")):
        used = run_scaiwave(*used_by, SCAIWAVE_DB_URL=site.empty)
        assert used.code == 2
        assert "is incomplete: restoring a backup into it was interrupted. [SW_DATABASE_UNM" in (
            used.err
        )
    assert "[SW_DATABASE_NOT_EMPTY]" in site.restore(site.back_up()).err
    site.restored.execute("CREATE TABLE orders (id int)")
    ended = site.restore(backup)
    assert "is not empty: it contains orders. Nothing was restored." in ended.err
    site.restored.execute("DROP TABLE orders")
    again = site.restore(backup)
    assert again.code == 0, again.err
    refused = site.restore(backup)
    assert (refused.code, "[SW_DATABASE_NOT_EMPTY]" in refused.err) == (1, True), refused.err


def _find(name: str) -> str:
    """Debian's programs are links to one that runs what its name says."""
    path = shutil.which(name)
    assert path is not None
    return path


@pytest.mark.only_on("postgresql")
def test_fail_tools_missing_or_old(site: BackupSite, tmp_path: Path) -> None:
    backup = site.back_up()
    server = site.rows("SHOW server_version")[0][0]
    programs = tmp_path / "programs"
    programs.mkdir()
    for words in (("backup", "--output", str(site.parent)), ("verify-backup", str(backup))):
        ended = site.run(*words, PATH=str(programs))
        assert ended.code == 2, ended.err
        assert "is not installed, or not in PATH. [SW_DATABASE_TOOL_UNUSABLE]" in ended.err
    for name in ("pg_dump", "pg_restore"):
        write_program(programs, name, f"echo '{name} (PostgreSQL) 9.6.24'")
    for words in (("backup", "--output", str(site.parent)), ("verify-backup", str(backup))):
        ended = site.run(*words, PATH=str(programs))
        assert ended.code == 2, ended.err
        assert "is of release 9.6.24, which is older than the" in ended.err
        assert server.split()[0].split(".")[0] in ended.err
    assert list_files(site.parent) == [backup.name]


@pytest.mark.only_on("postgresql")
def test_fail_pg_dump_fails(site: BackupSite, tmp_path: Path) -> None:
    script = (
        'case "$1" in --version) echo "pg_dump 99.1"; exit;; esac\n'
        'echo part; echo "pg_dump: error: no." >&2; exit 1'
    )
    path = write_program(tmp_path / "programs", "pg_dump", script)
    ended = site.run("backup", "--output", str(site.parent), PATH=path)
    assert ended.code == 2, ended.err
    assert "Error: pg_dump failed: pg_dump: error: no. [SW_DATABASE_TOOL_FAILED]" in ended.err
    assert list_files(site.parent) == []


@pytest.mark.only_on("postgresql")
def test_fail_target_is_lost(site: BackupSite, tmp_path: Path) -> None:
    """The error is about the database that was given, not about the live one."""
    backup, programs = site.back_up(), tmp_path / "programs"
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    script = f'[ "$1" = --version ] || psql -qc "{end}" "{site.empty}" >&2\n'
    script += f'exec {_find("pg_restore")} "$@"'
    path = write_program(programs, "pg_restore", script)
    name = urlsplit(site.empty).path[1:]
    for run, option in ((site.restore, "--into"), (site.verify, "--server")):
        ended = run(backup, PATH=path)
        assert (ended.code, ended.err) == (
            2,
            f"Error: The database {name} on the local socket can't be used: terminating connection "
            "due to administrator command. [SW_DATABASE_UNREACHABLE]\n"
            f"  Fix: Check {option}, and that the server runs. {CREATE}\n",
        )
    # A role may have a limit for each statement of the server.
    site.execute(f"ALTER DATABASE {name} SET statement_timeout = '1s'")
    wait = '[ "$1" = --version ] || sleep 1.1'
    script = f'{_find("pg_restore")} "$@" | {{ head -c 60000; {wait}; cat; }}'
    write_program(programs, "pg_restore", script)
    restored = site.restore(backup, PATH=path)
    assert restored.code == 0, restored.err


@pytest.mark.only_on("postgresql")
def test_fail_changed_while_it_is_read(site: BackupSite, tmp_path: Path) -> None:
    backup, programs = site.back_up(), tmp_path / "programs"
    script = f'{_find("pg_restore")} "$@"; code=$?; echo >>{backup}/database.dump; exit $code'
    script = script.replace("; echo", '; [ "$1" = --version ] || echo')
    ended = site.restore(backup, PATH=write_program(programs, "pg_restore", script))
    assert (ended.code, "database.dump was changed: " in ended.err) == (1, True), ended.err
    site.assert_nothing_restored()


def test_fail_attachment_changed_since_it_was_checked(tmp_path: Path) -> None:
    name = f"{ATTACHMENTS}/tenant/x"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"new")
    files = {name: FileContents(3, sha256(b"old").hexdigest())}
    with pytest.raises(BackupDamaged, match="was changed"):
        _copy_attachments(tmp_path, files, tmp_path / "media", null_progress_factory)
    assert not [*(tmp_path / "media").rglob("*x*")]


@pytest.mark.only_on("postgresql")
def test_fail_endless_row(site: BackupSite, tmp_path: Path) -> None:
    """A small archive can contain it. Memory is the worst for other processes."""
    backup, programs = site.back_up(), tmp_path / "programs"
    script = (
        f'case "$1" in --version) exec {_find("pg_restore")} --version;; esac\n'
        'echo "COPY public.sw_other (a) FROM stdin;"; tr "\\0" a </dev/zero'
    )
    ended = site.verify(backup, PATH=write_program(programs, "pg_restore", script))
    assert (ended.code, "has a row of more than 268,435,456 bytes." in ended.err) == (1, True), (
        ended.err
    )
    assert "[SW_BACKUP_DAMAGED]" in ended.err


@pytest.mark.only_on("postgresql")
def test_success_secrets_are_in_no_argument(site: BackupSite, tmp_path: Path) -> None:
    """The program gets them in a variable and a file. The server here trusts everyone."""
    programs, seen = tmp_path / "programs", tmp_path / "seen"
    real = _find("pg_dump")
    script = f'cat "$PGSERVICEFILE" >> {seen}; echo "$PGPASSWORD|$*" >> {seen}\nexec {real} "$@"'
    url = site.url.replace("scaiwave@", "scaiwave:s3cret%2Fword@")
    url += f"{'&' if '?' in url else '?'}sslpassword=k3y%3D%20%23word"
    path = write_program(programs, "pg_dump", script)
    ended = site.run("backup", "--output", str(site.parent), PATH=path, SCAIWAVE_DB_URL=url)
    assert ended.code == 0, ended.err
    *service, line = seen.read_text().splitlines()[-3:]
    assert service == ["[scaiwave]", "sslpassword=k3y= #word"]
    assert "k3y" not in line
    assert line.startswith("s3cret/word|--format=custom")
    assert line.count("s3cret") == 1


@pytest.mark.only_on("postgresql")
def test_fail_killed_verification(site: BackupSite) -> None:
    """Its server ends with it, and its files are removed."""
    backup, temporary = site.back_up(), Path(tempfile.mkdtemp())
    temporary.chmod(0o1777)  # The server runs as another user than root.
    words = [*SCRIPT, "admin", "verify-backup", str(backup)]
    with start_process(words, TMPDIR=str(temporary)) as process:
        wait_for(lambda: process.poll() is not None or [*temporary.glob("*/.s.PGSQL.5432")])
        assert process.poll() is None, process.communicate()
        (directory,) = temporary.glob("scaiwave-verify-*")
        server = int((directory / "data/postmaster.pid").read_text().splitlines()[0])
        process.kill()
        process.wait()
    wait_for(lambda: not (directory.exists() or Path(f"/proc/{server}").exists()))
    temporary.rmdir()


@pytest.mark.only_on("postgresql")
def test_fail_no_server_to_verify_in(site: BackupSite, tmp_path: Path) -> None:
    """The live server is not used unless it is named, and then only an empty database of it."""
    backup, programs = site.back_up(), tmp_path / "programs"
    path = write_program(programs, "pg_ctl", "echo no locale; exit 1")
    open_for_all(programs)
    ended = site.run("verify-backup", str(backup), PATH=path)
    assert ended.code == 2, ended.err
    assert (
        f"Error: {programs}/pg_ctl initdb failed: no locale. [SW_DATABASE_TOOL_FAILED]" in ended.err
    )
    ended = site.verify(backup, "--server", site.url)
    assert (ended.code, "[SW_DATABASE_NOT_EMPTY]" in ended.err) == (1, True), ended.err


@pytest.mark.only_on("sqlite")
def test_fail_database_is_damaged(site: BackupSite) -> None:
    """A fault that SQLite's backup copies too is found before the backup gets its name."""
    path = Path(site.url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'sw_counters'")
        database.commit()
    ended = site.run("backup", "--output", str(site.parent))
    assert ended.code in {1, 2}, ended.err
    assert "Traceback" not in ended.err
    assert list_files(site.parent) == []


INCOMPLETE = "SELECT true FROM django_migrations WHERE name LIKE 'incomplete_restore_%'"
KILLS = 5
"""How often a command is killed, at times that divide the time it takes into equal parts."""


def kill_at_parts(*words: str) -> Iterator[None]:
    """Run the command once as it is, then let it be killed, earlier in each step."""
    command = [*SCRIPT, "admin", *words]
    began = time.monotonic()
    with start_process(command) as process:
        process.communicate(timeout=PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    yield
    for part in range(KILLS, 0, -1):
        with start_process(command) as process, suppress(subprocess.TimeoutExpired):
            process.wait(seconds * part / (KILLS + 1))
        yield


def test_fail_backup_is_killed_in_each_phase(site: BackupSite) -> None:
    """Each directory with a name is a whole backup, and the next one removes the others."""
    for _ in kill_at_parts("backup", "--output", str(site.parent)):
        for path in site.parent.glob("scaiwave-*"):
            assert (path / "manifest.json").exists()
            assert site.verify(path).code == 0
            shutil.rmtree(path)
    site.back_up()
    assert [path for path in site.parent.iterdir() if path.name.startswith(".")] == []


def test_fail_restore_is_killed_in_each_phase(site: BackupSite, tmp_path: Path) -> None:
    """Either nothing is restored, or a part, which the next one replaces, or a server that waits
    for its activation."""
    backup, media = site.back_up(), tmp_path / "media"
    for _ in kill_at_parts(
        *("restore", str(backup), "--into", site.empty, "--attachments", str(media))
    ):
        if count_tables(site):
            is_incomplete = site.is_postgres and site.restored.rows(INCOMPLETE) == [(True,)]
            again = site.restore(backup)
            assert (again.code, "[SW_DATABASE_NOT_EMPTY]" in again.err) == (
                (0, False) if is_incomplete else (1, True)
            ), again.err
            assert len(site.restored.rows("SELECT 1 FROM sw_restorations")) == 1
        empty(site)
    restored = site.restore(backup, "--attachments", str(media))
    assert restored.code == 0, restored.out + restored.err
    files = {"backups", "home", "media"} | ({"copy.sqlite3"} if not site.is_postgres else set())
    assert {path.name for path in tmp_path.iterdir()} == files


def count_tables(site: BackupSite) -> int:
    if not site.is_postgres:
        return int(get_file(site).exists())
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    # The server notices some time later that a client was killed.
    wait_for(lambda: site.restored.rows(query) == [(1,)])
    tables = site.restored.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    return int(tables[0][0])


def get_file(site: BackupSite) -> Path:
    return Path(site.empty.removeprefix("sqlite:///"))


def empty(site: BackupSite) -> None:
    if site.is_postgres:
        with site.restored.connected() as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    else:
        for path in get_file(site).parent.glob("copy.sqlite3*"):
            path.unlink()


@pytest.mark.parametrize("size", [1_000, 40_000])
def test_fail_disk_is_full_at_restore(size: int, site: BackupSite, tmp_path: Path) -> None:
    """It is full for an attachment, or for the file of SQLite."""
    backup = site.back_up()
    words = ["restore", str(backup), "--into", site.empty, site.name_signer(backup)]
    words += ["--attachments", str(tmp_path / "media")]
    with start_process([*SCRIPT, "admin", *words], **NO_BYTECODE) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    if site.is_postgres and size > 10_000:  # The files of the database are the server's.
        assert process.returncode == 0, err
        return
    assert (process.returncode, "[SW_DISK_FULL]" in err) == (1, True), err
    assert count_tables(site) == 0
    assert not list((tmp_path / "media/incoming").iterdir())


def test_success_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS refuses the lock of a directory; then backups of killed processes remain."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", refuse)
    for _ in range(2):
        with create_directory(tmp_path, datetime.now(UTC)) as draft:
            draft.write("x", [b"1"])
    assert len(list(tmp_path.glob("scaiwave-*/x"))) == 2
