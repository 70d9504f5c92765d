"""Report a full disk, with advice for the file that was being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scaiwave.core.errors import DiskFull
from scaiwave.core.files import DISK_FULL_ERRNOS


@contextmanager
def translate_disk_full(message: str, *, fix: str | None = None) -> Iterator[None]:
    """Raise `DiskFull` with this message for a full disk, quota or limited file."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            raise
        raise DiskFull(message, fix=fix) from error
