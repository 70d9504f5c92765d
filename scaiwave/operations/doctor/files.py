"""Checks and repairs of this server's own files: who may read them, and what killed processes left.

Repairs need no decision: only the user of the server has a reason to read these files, and no
process uses a file that none has locked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from django.db import connection

from scaiwave.config import Configuration
from scaiwave.config.secret_keys import list_secret_files
from scaiwave.console.text import pluralize
from scaiwave.core.draft_journal import count_abandoned_drafts, remove_announced_drafts
from scaiwave.core.files import count_drafts_in, remove_drafts_in
from scaiwave.core.locks import count_stale_lock_files, remove_stale_lock_files
from scaiwave.operations.doctor.findings import Finding, passed, warned

FIX = "Run `scaiwave doctor --fix`."
RECEIPT_PATTERN = "scaikey-registration.json"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_files(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report files that others may read, and leftovers of killed processes."""
    problems = [
        f"Users other than its owner have access to {path}." for path in _open_files(config)
    ]
    if _is_writable_for_others(config.home):
        problems.append(f"Users other than its owner may write to {config.home}.")
    if drafts := count_drafts_in(config.home) + count_abandoned_drafts(config.home):
        problems.append(f"Killed processes left {pluralize(drafts, 'unfinished file')}.")
    if locks := count_stale_lock_files():
        problems.append(f"Killed processes left {pluralize(locks, 'lock file')}.")
    for problem in problems:
        yield warned("files", problem, FIX)
    if not problems:
        yield passed("files", "Only their owner may read the files with secrets. No leftovers.")


def fix_files(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Close files to others, and remove leftovers. What can't be repaired remains a finding."""
    for path in _open_files(config):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
            yield passed("files", f"Only its owner may now access {path}.")
    if _is_writable_for_others(config.home):
        with suppress(OSError):
            mode = stat.S_IMODE(config.home.stat().st_mode)
            config.home.chmod(mode & ~OTHERS_WRITE)
            yield passed("files", f"Only its owner may now write to {config.home}.")
    drafts = remove_announced_drafts(config.home)
    with suppress(OSError):
        drafts += remove_drafts_in(config.home)
    if drafts:
        yield passed("files", f"Removed {pluralize(drafts, 'unfinished file')}.")
    if locks := remove_stale_lock_files():
        yield passed("files", f"Removed {pluralize(locks, 'lock file')}.")


def _open_files(config: Configuration) -> list[Path]:
    """Return the files with secrets or data that others may access."""
    paths = [*list_secret_files(config), config.home / RECEIPT_PATTERN]
    if connection.vendor == "sqlite":
        database = Path(os.path.realpath(connection.settings_dict["NAME"]))
        paths += [database, *(Path(f"{database}{suffix}") for suffix in ("-wal", "-shm"))]
    return [path for path in paths if path.is_file() and path.stat().st_mode & OTHERS]


def _is_writable_for_others(directory: Path) -> bool:
    return directory.is_dir() and bool(directory.stat().st_mode & OTHERS_WRITE)
