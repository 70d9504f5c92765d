"""Where bundles go: files that are there whole or not at all, and streams."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest

from rooms.errors import ExportRefused
from rooms.services.exports.sinks import atomic_write, write_to_file
from scaiwave.errors import UsageError
from tests.rooms.export.bundles import beginning, export, make_room

pytestmark = pytest.mark.django_db(transaction=True)


def test_success_private_and_whole(tmp_path: Path) -> None:
    room, target = make_room(), tmp_path / "room.zip"
    result = write_to_file(beginning(room), target)
    assert target.read_bytes() == export(room).data
    assert target.stat().st_mode & 0o777 == 0o600
    assert result.size == target.stat().st_size
    assert list(tmp_path.glob(".room*")) == []


def test_success_replaces_a_file_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    target.chmod(0o644)
    with atomic_write(target) as draft:
        draft.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_success_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write(Path("room.zip")) as draft:
        draft.write(b"new")
    assert Path("room.zip").read_bytes() == b"new"


def test_fail_refused_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    target.write_bytes(b"old")
    with pytest.raises(ExportRefused):
        write_to_file(beginning(make_room(is_federated=True)), target)
    assert [path.name for path in tmp_path.glob("*.zip*")] == ["room.zip"]
    assert target.read_bytes() == b"old"


def test_fail_targets_that_can_not_be_written(tmp_path: Path) -> None:
    pipe, long = tmp_path / "pipe", tmp_path / ("x" * 250)
    os.mkfifo(pipe)
    for target, message in (
        (tmp_path, f"{tmp_path} is a folder."),
        (tmp_path / "no" / "room.zip", f"There is no folder {tmp_path / 'no'}."),
        (pipe, f"{pipe} is no file that can be replaced."),
        (Path("/dev/null"), "/dev/null is no file that can be replaced."),
        (long, f"{tmp_path} can't be written to: File name too long."),
    ):
        with pytest.raises(UsageError) as caught:
            write_to_file(lambda: pytest.fail("begun"), target)
        assert caught.value.message == message


def test_fail_stream_of_another_kind(tmp_path: Path) -> None:
    """An error that is none of ours stays what it is."""

    class Broken(BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(5, "Input/output error")

    from rooms.services.exports.sinks import write_to_stream

    with pytest.raises(OSError, match="Input/output error"):
        write_to_stream(beginning(make_room()), Broken())
