"""Open the file that a command reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scaiwave.core.errors import UsageError


@contextmanager
def open_input(
    path: str | None, what: str, *, terminal_fix: str, unreadable_fix: str
) -> Iterator[BinaryIO]:
    """Open the file, or stdin for None. Raises `UsageError` with one of the fixes."""
    if path is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(f"Can't read {what} from a terminal.", fix=terminal_fix)
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"Can't read {path}: {error.strerror}.", fix=unreadable_fix) from None
    with file:
        yield file
