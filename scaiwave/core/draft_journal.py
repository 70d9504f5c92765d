"""Remember the directories with drafts in progress, so that `doctor` finds abandoned ones.

Operators choose these directories, which are anywhere on the host. While a draft is written, a file
in the home directory names its directory.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scaiwave.core.files import count_drafts_in, remove_drafts_in

MIN_ENTRY_AGE_SECONDS = 3600
"""A younger entry may be of a process that has not created its draft yet."""


@contextmanager
def announce_drafts(home: Path, directory: Path) -> Iterator[None]:
    """Name the directory until the block ends. Without a writable home directory, do nothing."""
    entry = _journal(home) / secrets.token_hex(8)
    with suppress(OSError):
        entry.parent.mkdir(mode=0o700, exist_ok=True)
        entry.write_bytes(os.fsencode(directory.resolve()))
    try:
        yield
    finally:
        with suppress(OSError):
            entry.unlink()
        # Remove entries of killed processes whose drafts another process has removed.
        oldest = time.time() - MIN_ENTRY_AGE_SECONDS
        for other, drafts in _list_entries(home):
            with suppress(OSError):
                if other.stat().st_mtime < oldest and not any(drafts.glob(".*.draft")):
                    other.unlink()


def count_abandoned_drafts(home: Path) -> int:
    """Return how many drafts killed processes left in these directories."""
    directories = {directory for _, directory in _list_entries(home)}
    return sum(map(count_drafts_in, directories))


def remove_announced_drafts(home: Path) -> int:
    """Remove the drafts that killed processes left in these directories; return their number."""
    count = 0
    for entry, directory in _list_entries(home):
        with suppress(OSError):
            count += remove_drafts_in(directory)
            if not any(directory.glob(".*.draft")):
                entry.unlink()
    return count


def _journal(home: Path) -> Path:
    return home / "drafts"


def _list_entries(home: Path) -> list[tuple[Path, Path]]:
    """Return the files of the journal, each with the directory it names."""
    with suppress(OSError):
        entries = sorted(_journal(home).iterdir())
        return [(entry, Path(os.fsdecode(entry.read_bytes()))) for entry in entries]
    return []
