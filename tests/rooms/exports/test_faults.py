"""Exports that end early leave no bundle."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.rooms.exports.processes import (
    EVENTS,
    EXPORT,
    Server,
    fill_database,
    is_zip,
    start_export,
)
from tests.scaiwave.cli_helpers import (
    CHECKOUT,
    NO_BYTECODE,
    SCRIPT,
    SUITE,
    ProcessResult,
    run_scaiwave,
    run_shell,
)
from tests.services.manager import manage_service

pytestmark = pytest.mark.once
SIGNALS = [(signal.SIGTERM, 143, "SW_TERMINATED"), (signal.SIGINT, 130, "SW_INTERRUPTED")]
# Stops in the middle of writing a draft until it gets a signal.
HANG = """
import time
from rooms.bundle.archive import writer as zip_stream
header = zip_stream._DESCRIPTOR
class Slow:
    def pack(self, *values):
        time.sleep(60)
zip_stream._DESCRIPTOR = Slow()
"""


@pytest.mark.usefixtures("server")
def test_fail_reader_closes_the_pipe(tmp_path: Path) -> None:
    part, code = tmp_path / "part", tmp_path / "code"
    line = f"{{ scaiwave {' '.join(EXPORT)}; echo $? > {code}; }} | head -c 1000 > {part}"
    ended = run_shell(line, **SUITE)
    assert code.read_text() == "1\n"
    assert ended.err == (
        "Error: The reader closed the pipe before the export finished. The data it received is "
        "not a complete bundle. [SW_ROOM_EXPORT_UNREAD]\n"
        "  Fix: Run the same command again with a reader that reads to the end.\n"
    )
    assert part.stat().st_size == 1000


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def _with_full_disk(*words: str, stdout: int) -> ProcessResult:
    """A file may not become larger than 300 KB, which is what a full disk looks like."""
    ended = subprocess.run(
        [*SCRIPT, *words],
        env={**os.environ, **NO_BYTECODE},
        cwd=CHECKOUT,
        preexec_fn=_limit_files,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return ProcessResult(ended.returncode, "", ended.stderr)


@pytest.mark.only_on("postgresql")
@pytest.mark.usefixtures("server")
def test_fail_disk_is_full(tmp_path: Path) -> None:
    """On SQLite the database's own file would be the first that can't grow."""
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    ended = _with_full_disk(*EXPORT, "--output", str(target), "--force", stdout=subprocess.DEVNULL)
    assert ended.code == 1
    assert ended.err == (
        f"Error: Not enough disk space to write {target}. [SW_DISK_FULL]\n"
        "  Fix: Free some space, then run the same command again; nothing was half written.\n"
    )
    assert target.read_bytes() == b"old"
    assert list(tmp_path.glob(".room*")) == []


@pytest.mark.only_on("postgresql")
@pytest.mark.usefixtures("server")
def test_fail_disk_of_stdout_is_full(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    with target.open("wb") as file:
        ended = _with_full_disk(*EXPORT, stdout=file.fileno())
    assert ended.code == 1
    assert ended.err == (
        "Error: No space left on the output device. The partial bundle is not usable. "
        "[SW_DISK_FULL]\n"
        "  Fix: Free some space, then run the same command again.\n"
    )
    assert not is_zip(target.read_bytes())


@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
@pytest.mark.usefixtures("server")
def test_fail_signal_leaves_no_draft(
    tmp_path: Path, number: signal.Signals, code: int, name: str
) -> None:
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    with start_export(*EXPORT, "--output", str(target), "--force", prepare=HANG) as process:
        while not any(path.stat().st_size > 100_000 for path in tmp_path.glob(".room.zip.*")):
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"[{name}]" in err.decode()
    assert "Traceback" not in err.decode()
    assert [path.name for path in tmp_path.glob("*room*")] == ["room.zip"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
@pytest.mark.usefixtures("server")
def test_fail_signal_in_a_pipe(number: signal.Signals, code: int, name: str) -> None:
    with start_export() as process:
        assert process.stdout is not None
        begun = process.stdout.read(1000)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"[{name}]" in err.decode()
    assert not is_zip(begun + out)


@pytest.mark.only_on("postgresql")
def test_fail_database_closes_the_connection(server: Server) -> None:
    with start_export() as process:
        assert process.stdout is not None
        begun = process.stdout.read(1000)
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "[SW_DATABASE_UNREACHABLE]" in err.decode()
    assert "Traceback" not in err.decode()
    assert not is_zip(begun + out)


@pytest.mark.postgres
def test_fail_database_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes of a separate PostgreSQL cluster are killed at once."""
    with manage_service("postgres") as manager:
        url = manager.wait_for_service().url
        monkeypatch.setenv("SCAIWAVE_DB_URL", url)
        assert run_scaiwave("manage", "migrate", "--verbosity", "0").code == 0
        server = Server(url)
        fill_database(server)
        (postmaster,) = server.rows("SELECT pg_read_file('postmaster.pid')")[0]
        with start_export() as process:
            assert process.stdout is not None
            begun = process.stdout.read(1000)
            _kill_with_children(int(postmaster.splitlines()[0]))
            out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "[SW_DATABASE_UNREACHABLE]" in err.decode()
    assert "Traceback" not in err.decode()
    assert not is_zip(begun + out)


def _kill_with_children(pid: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, signal.SIGKILL)


@pytest.mark.only_on("sqlite")
@pytest.mark.usefixtures("server")
def test_fail_database_is_damaged_in_the_middle(server: Server) -> None:
    path = Path(server.url.removeprefix("sqlite:///"))
    server.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(size // 4096 // 2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    with start_export() as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in err.decode()
    assert not is_zip(out)


def test_success_one_snapshot_during_other_writes(server: Server) -> None:
    """Events that are added during the export are in no part of the bundle."""
    with start_export() as process:
        assert process.stdout is not None
        begun = process.stdout.read(1000)
        server.add_events(EVENTS + 1, 2 * EVENTS)
        server.execute("DELETE FROM sw_events WHERE stream_position <= 100")
        server.execute("UPDATE sw_rooms SET name = 'Renamed'")
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    with zipfile.ZipFile(BytesIO(begun + out)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        signature = json.loads(archive.read("signature.json"))
    assert [event["stream_position"] for event in manifest["events"]] == list(range(1, EVENTS + 1))
    assert signature["counts"]["events"] == EVENTS
    assert manifest["room"]["name"] == "Lobby"
