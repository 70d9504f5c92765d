"""Exports to files, which are complete or not there at all, and to streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from django.conf import settings

from rooms.errors import ExportRefused
from rooms.exports.export_room import RoomExport
from rooms.exports.sinks import write_to_file, write_to_stream
from scaiwave.core.draft_journal import (
    announce_drafts,
    count_abandoned_drafts,
    remove_announced_drafts,
)
from scaiwave.core.errors import FileExists, FileUnwritable, UsageError
from scaiwave.core.files import create_private_file
from tests.rooms.exports.factories import export_bundle, make_room, prepare_export

pytestmark = pytest.mark.django_db(transaction=True)


def start_fake_export(on_written: Callable[[], None] = lambda: None) -> Callable[[], RoomExport]:
    """Return a function that starts an export of the bytes `new`."""

    class FakeExport:
        result = None

        def __iter__(self) -> Iterator[bytes]:
            yield b"new"
            on_written()

        def close(self) -> None:
            pass

    return lambda: cast(RoomExport, FakeExport())


def assert_unchanged(target: Path) -> None:
    assert target.read_bytes() == b"old"


def test_success_file_is_private_and_complete(tmp_path: Path) -> None:
    room, target = make_room(), tmp_path / "room.zip"
    result = write_to_file(prepare_export(room), target, overwrite=False)
    assert target.read_bytes() == export_bundle(room).data
    assert target.stat().st_mode & 0o777 == 0o600
    assert result.size == target.stat().st_size
    assert list(tmp_path.glob(".room*")) == []


def test_success_replaces_a_file_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    target.chmod(0o644)
    export = start_fake_export(on_written=lambda: assert_unchanged(target))
    write_to_file(export, target, overwrite=True)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_success_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_to_file(start_fake_export(), Path("room.zip"), overwrite=False)
    assert Path("room.zip").read_bytes() == b"new"


def test_fail_refusal_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    with pytest.raises(ExportRefused):
        write_to_file(prepare_export(make_room(is_federated=True)), target, overwrite=True)
    assert [path.name for path in tmp_path.glob("*.zip*")] == ["room.zip"]
    assert target.read_bytes() == b"old"


def test_fail_target_cannot_be_written(tmp_path: Path) -> None:
    pipe, long = tmp_path / "pipe", tmp_path / ("x" * 250)
    os.mkfifo(pipe)
    for target, message in (
        (tmp_path, f"{tmp_path} is a directory."),
        (tmp_path / "no" / "room.zip", f"Directory not found: {tmp_path / 'no'}."),
        (pipe, f"Can't overwrite {pipe}: not a regular file."),
        (Path("/dev/null"), "Can't overwrite /dev/null: not a regular file."),
        (long, f"{tmp_path} can't be written to: File name too long."),
    ):
        with pytest.raises((UsageError, FileUnwritable)) as caught:
            write_to_file(lambda: pytest.fail("begun"), target, overwrite=True)
        assert caught.value.message == message


def test_fail_existing_file_without_force(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    with pytest.raises(FileExists) as caught:
        write_to_file(lambda: pytest.fail("begun"), target, overwrite=False)
    assert caught.value.message == f"{target} already exists. It is unchanged."
    target.unlink()

    def create_target() -> None:
        target.write_bytes(b"old")

    with pytest.raises(FileExists):
        write_to_file(start_fake_export(on_written=create_target), target, overwrite=False)
    assert_unchanged(target)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".draft"] == []


def test_success_drafts_of_killed_exports_are_removed(tmp_path: Path) -> None:
    """A draft that a process is writing, and files of other names, are kept."""
    abandoned = tmp_path / ".old.zip.0123456789abcdef.draft"
    abandoned.write_bytes(b"half")
    kept = tmp_path / ".notes.draft"
    kept.write_bytes(b"mine")
    in_use = tmp_path / ".other.zip.0123456789abcdef.draft"
    descriptor = create_private_file(in_use, locked=True)
    journal = settings.HOME / "drafts"
    journal.mkdir(exist_ok=True)
    (journal / "killed").write_bytes(os.fsencode(tmp_path / "elsewhere"))
    os.utime(journal / "killed", (0, 0))
    write_to_file(start_fake_export(), tmp_path / "room.zip", overwrite=False)
    assert list(journal.iterdir()) == []
    assert not abandoned.exists()
    assert (kept.exists(), in_use.exists()) == (True, True)
    os.close(descriptor)
    with announce_drafts(settings.HOME, tmp_path):
        assert count_abandoned_drafts(settings.HOME) == 1
        assert remove_announced_drafts(settings.HOME) == 1
    assert not in_use.exists()
    assert count_abandoned_drafts(settings.HOME) == 0
    assert list((settings.HOME / "drafts").iterdir()) == []


def test_fail_stream_of_another_kind(tmp_path: Path) -> None:
    """An error that is not translated is raised as it is."""

    class Broken(BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        write_to_stream(prepare_export(make_room()), Broken())
