"""The bundle as a file that can be read twice: where it lies, or as a copy without a name."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import UnsupportedOperation
from typing import BinaryIO

from rooms.bundle.format import MIB
from rooms.errors import NOTHING_DONE, BundleTooLarge, ImportRefused
from scaiwave.console.output import ColumnType
from scaiwave.console.progress import ProgressCallback, ProgressFactory, null_progress_factory
from scaiwave.errors import DiskFull

_CHUNK = MIB
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Stamp = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class Source:
    """A bundle that can be read as often as wanted."""

    file: BinaryIO
    stamp: Stamp | None

    def require_unchanged(self) -> None:
        """Raises `ImportRefused` if it is not the file any more that it was at the beginning."""
        if self.stamp != _stamp(self.file):
            raise ImportRefused(
                "The bundle was changed while it was read.",
                fix=f"{NOTHING_DONE} Let whatever writes it finish, then run this again.",
            )


@contextmanager
def open_seekable(
    file: BinaryIO, *, most_bytes: int, bars: ProgressFactory = null_progress_factory
) -> Iterator[Source]:
    """The file itself if it can be read from the beginning again, as a pipe can't; else a copy.

    Raises `BundleTooLarge` as soon as the limit is passed, and `DiskFull`.
    """
    if file.seekable() and file.tell() == 0:
        yield Source(file, _stamp(file))
        return
    # Without a name nobody else can change it, and it is gone however this process ends.
    with tempfile.TemporaryFile() as copy:
        full = disk_full_as(
            f"The folder {tempfile.gettempdir()} has no room left for the bundle.",
            fix=f"{NOTHING_DONE} Name a folder with more room in TMPDIR, or keep the bundle in a "
            "file and pass it with --input.",
        )
        with bars("Reading", ColumnType.BYTES) as progress, full:
            _copy(file, copy, most_bytes, progress)
        yield Source(copy, _stamp(copy))


def _copy(file: BinaryIO, copy: BinaryIO, most_bytes: int, progress: ProgressCallback) -> None:
    size = 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        if size > most_bytes:
            raise BundleTooLarge(f"The bundle is larger than {most_bytes // MIB:,} MiB.")
        copy.write(chunk)
        progress(size, None)
    copy.flush()
    copy.seek(0)


def _stamp(file: BinaryIO) -> Stamp | None:
    """None of what is in memory."""
    try:
        found = os.fstat(file.fileno())
    except UnsupportedOperation:
        return None
    return found.st_size, found.st_mtime_ns


@contextmanager
def disk_full_as(message: str, *, fix: str | None = None) -> Iterator[None]:
    """Raises `DiskFull` with this message where a disk, a quota or a limited file is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(message, fix=fix) from error
