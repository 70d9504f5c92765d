"""Open the file that a command reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scaiwave.core.errors import UsageError


@contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open the file, or stdin for `-`. Raises `UsageError`."""
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "Can't read an export from a terminal.",
                fix="Name the file: `scaiwave admin audit verify audit.jsonl`.",
            )
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(
            f"Can't read {path}: {error.strerror}.", fix="Name a readable export."
        ) from None
    with file:
        yield file
