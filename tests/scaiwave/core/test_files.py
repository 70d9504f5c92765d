"""Atomic, private, durable writes: in every case the old file or the new one exists."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scaiwave.core.errors import DiskFull, FileUnwritable
from scaiwave.core.files import (
    atomic_write,
    check_replaceable,
    make_directories,
    remove_abandoned_drafts,
    replace_file,
    sync_directory,
)

ROOT = os.geteuid() == 0
OTHER_USER = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Let no file of this process grow beyond this size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_success_streamed(path: Path) -> None:
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new ")
        assert path.read_bytes() == b"old"
        file.write(b"content")
    assert (path.read_bytes(), mode(path), names(path)) == (b"new content", 0o600, ["file"])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_fail_exception_leaves_the_old_file(path: Path, error: type[BaseException]) -> None:
    path.write_bytes(b"old")

    def write_and_fail() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert (path.read_bytes(), names(path)) == (b"old", ["file"])


def test_success_mode_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        with atomic_write(path, mode=0o640) as file:
            # No other user may read it before it is complete, either.
            assert mode(next(path.parent.glob(".file.*.draft"))) == 0o640
            file.write(b"x")
    finally:
        os.umask(before)
    assert mode(path) == 0o640


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
@pytest.mark.parametrize(("keep_owner", "owner"), [(True, OTHER_USER), (False, 0)])
def test_success_owner(path: Path, keep_owner: bool, owner: int) -> None:
    path.touch()
    os.chown(path, OTHER_USER, OTHER_USER)
    with atomic_write(path, keep_owner=keep_owner) as file:
        file.write(b"x")
    assert (path.stat().st_uid, path.stat().st_gid) == (owner, owner)


def test_success_symbolic_link_is_followed(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.symlink_to(elsewhere / "real")
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.is_symlink()
    assert (elsewhere / "real").read_bytes() == b"x"
    assert names(elsewhere / "real") == ["real"]


def test_success_symbolic_link_is_replaced_if_it_is_not_followed(
    path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    path.symlink_to(elsewhere)
    with atomic_write(path, follow_links=False) as file:
        file.write(b"x")
    assert not path.is_symlink()
    assert (path.read_bytes(), elsewhere.read_bytes()) == (b"x", b"theirs")


def test_fail_without_overwriting(path: Path) -> None:
    with atomic_write(path, overwrite=False) as file:
        file.write(b"first")
    with pytest.raises(FileExistsError), atomic_write(path, overwrite=False) as file:
        file.write(b"second")
    assert (path.read_bytes(), names(path)) == (b"first", ["file"])


def test_success_draft_of_a_given_name(path: Path, tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    with atomic_write(path, draft=draft) as file:
        file.write(b"x")
        assert draft.exists()
    assert names(path) == ["file"]


@pytest.mark.parametrize("size", [0, 5])
def test_fail_full_disk(path: Path, size: int) -> None:
    path.write_bytes(b"old")
    with pytest.raises(DiskFull) as caught, full_disk(size):
        replace_file(path, b"longer than that")
    assert caught.value.message == f"{path} can't be written: File too large."
    with pytest.raises(DiskFull), full_disk(size):
        check_replaceable(path, 6)
    with pytest.raises(OSError, match="File too large"), full_disk(size):
        with atomic_write(path) as file:
            file.write(b"longer than that")
    assert (path.read_bytes(), names(path)) == (b"old", ["file"])


def test_fail_not_a_regular_file(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(FileUnwritable) as caught:
        replace_file(path, b"x")
    assert caught.value.message == f"{path} can't be written: it is not a regular file."


WRITER = """
import os, sys
from pathlib import Path
from scaiwave.core.files import atomic_write
with atomic_write(Path(sys.argv[1])) as file:
    file.write(b"secret")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of writing the file."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        yield process
        process.kill()


def test_success_killed_in_the_middle(path: Path, writer: subprocess.Popen[bytes]) -> None:
    path.write_bytes(b"old")
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert path.read_bytes() == b"old"
    assert len(names(path)) == 2
    replace_file(path, b"new")
    assert (path.read_bytes(), names(path)) == (b"new", ["file"])


def test_success_draft_that_was_swept_before_it_was_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def sweep_once(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        next(path.parent.glob(".file.*.draft")).unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_once)
    replace_file(path, b"x")
    assert (path.read_bytes(), names(path)) == (b"x", ["file"])


def test_success_draft_of_a_running_process_stays(
    path: Path, writer: subprocess.Popen[bytes]
) -> None:
    replace_file(path, b"in between")
    remove_abandoned_drafts(path)
    assert len(names(path)) == 2
    writer.communicate()
    assert (path.read_bytes(), names(path)) == (b"secret", ["file"])


def test_success_only_drafts_of_this_file_are_removed(path: Path) -> None:
    others = [".file.draft.txt", ".file2.0.draft", "file.0.draft"]
    for name in [*others, ".file.0.draft"]:
        (path.parent / name).touch()
    remove_abandoned_drafts(path)
    assert names(path) == sorted(others)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists what is open")
def test_success_lasts_through_a_power_failure(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is on disk before the rename, and the name before the function returns."""
    synced: list[Path] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    replace_file(path, b"x")
    assert [synced[0].name.rpartition(".")[2], *synced[1:]] == ["draft", tmp_path]
    synced.clear()
    make_directories(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    assert mode(tmp_path / "a" / "b") == 0o700
    sync_directory(tmp_path / "a")
    assert synced[-1] == tmp_path / "a"
