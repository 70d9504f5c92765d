"""Make a bundle readable twice: the file itself, or an unnamed copy of a pipe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import UnsupportedOperation
from typing import BinaryIO

from django.conf import settings

from rooms.bundle.format import MIB
from rooms.errors import NOTHING_IMPORTED, BundleTooLarge, ImportRefused
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.core.files import translate_disk_full

_CHUNK_BYTES = MIB

Stamp = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class Source:
    """A bundle that can be read any number of times."""

    file: BinaryIO
    stamp: Stamp | None

    def require_unchanged(self) -> None:
        """Raises `ImportRefused` if the file has changed since it was opened."""
        if self.stamp != _get_stamp(self.file):
            raise ImportRefused(
                "The bundle was changed while it was read.",
                fix=f"{NOTHING_IMPORTED} Run this again when the file is no longer being written.",
            )


def get_max_bytes() -> int:
    """Return the limit of this server for a bundle, compressed and decompressed."""
    return settings.CONFIG.get_int("SCAIWAVE_IMPORT_LIMIT_MB") * MIB


@contextmanager
def open_seekable(
    file: BinaryIO, *, max_bytes: int, progress_factory: ProgressFactory = null_progress_factory
) -> Iterator[Source]:
    """Yield the file itself if it can be read again from its beginning; otherwise a copy.

    Raises `BundleTooLarge` as soon as the limit is exceeded, and `DiskFull`.
    """
    if file.seekable() and file.tell() == 0:
        yield Source(file, _get_stamp(file))
        return
    # Without a name, no other process can change it, and it is gone however this process ends.
    with tempfile.TemporaryFile() as copy:
        disk_full = translate_disk_full(
            f"Not enough disk space for the bundle in {tempfile.gettempdir()}.",
            fix=f"{NOTHING_IMPORTED} Set TMPDIR to a directory with more space, or save the bundle "
            "as a file and pass it with --input.",
        )
        with progress_factory("Reading", ColumnType.BYTES) as progress, disk_full:
            size = 0
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > max_bytes:
                    raise BundleTooLarge(f"The bundle is larger than {max_bytes // MIB:,} MiB.")
                copy.write(chunk)
                progress(size, None)
            copy.flush()
            copy.seek(0)
        yield Source(copy, _get_stamp(copy))


def _get_stamp(file: BinaryIO) -> Stamp | None:
    """Return None for a file in memory."""
    try:
        status = os.fstat(file.fileno())
    except UnsupportedOperation:
        return None
    return status.st_size, status.st_mtime_ns
