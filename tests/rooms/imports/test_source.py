"""A bundle is read without a copy, or copied once, up to a limit."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest

from rooms.bundle.format import MIB
from rooms.errors import BundleTooLarge, ImportRefused
from rooms.imports.source import open_seekable
from scaiwave.core.errors import DiskFull


@contextmanager
def open_pipe(size: int) -> Iterator[BinaryIO]:
    """A pipe that so many bytes come out of."""
    code = f"import os\nfor _ in range({size // 1024}): os.write(1, b'x' * 1024)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout
        yield process.stdout  # type: ignore[misc]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are made."""
    made = tmp_path / "copies"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


def test_success_a_file_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"bundle")
    with path.open("rb") as file, open_seekable(file, max_bytes=MIB) as source:
        assert source.file is file
        source.require_unchanged()


def test_success_bytes_in_memory_are_not_copied() -> None:
    file = BytesIO(b"bundle")
    with open_seekable(file, max_bytes=MIB) as source:
        assert source.file is file
        source.require_unchanged()


def test_success_a_pipe_is_copied_without_a_name(
    directory: Path,
) -> None:
    with open_pipe(3 * MIB) as pipe, open_seekable(pipe, max_bytes=3 * MIB) as source:
        assert source.file.read() == b"x" * 3 * MIB
        assert source.file.seek(0) == 0
        assert list(directory.iterdir()) == []
        source.require_unchanged()
    assert source.file.closed


def test_success_the_rest_of_a_partly_read_file_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    path.write_bytes(b"onetwo")
    with path.open("rb") as file:
        file.seek(3)
        with open_seekable(file, max_bytes=MIB) as source:
            assert source.file.read() == b"two"


def test_fail_larger_than_the_limit_is_not_read() -> None:
    with (
        open_pipe(200 * MIB) as pipe,
        pytest.raises(BundleTooLarge) as caught,
        open_seekable(pipe, max_bytes=2 * MIB),
    ):
        pytest.fail("It was let through.")
    assert caught.value.message == "The bundle is larger than 2 MiB."
    assert caught.value.fix == (
        "Nothing was imported. If you expect a bundle of this size, raise SCAIWAVE_IMPORT_LIMIT_MB."
    )


@pytest.mark.parametrize("change", ["longer", "touched"])
def test_fail_the_file_changes_while_it_is_read(change: str, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"bundle")
    with path.open("rb") as file, open_seekable(file, max_bytes=MIB) as source:
        if change == "longer":
            with path.open("ab") as other:
                other.write(b"!")
        else:
            os.utime(path, ns=(0, 0))
        with pytest.raises(ImportRefused) as caught:
            source.require_unchanged()
    assert caught.value.message == "The bundle was changed while it was read."
    assert caught.value.fix == (
        "Nothing was imported. Run this again when the file is no longer being written."
    )


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may become larger than a MiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_fail_disk_is_full(directory: Path) -> None:
    with (
        open_pipe(3 * MIB) as pipe,
        pytest.raises(DiskFull) as caught,
        open_seekable(pipe, max_bytes=9 * MIB),
    ):
        pytest.fail("It was let through.")
    assert caught.value.message == f"Not enough disk space for the bundle in {directory}."
    assert caught.value.fix == (
        "Nothing was imported. Set TMPDIR to a directory with more space, or save the bundle as a "
        "file and pass it with --input."
    )
    assert list(directory.iterdir()) == []
