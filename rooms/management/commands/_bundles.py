"""Where a bundle is read from, and what is told of it when it is a room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scaiwave.errors import UsageError
from scaiwave.output import Column, Kind

IMPORTED = (
    Column("name", "Name"),
    Column("room_id", "Id"),
    Column("workspace", "Workspace"),
    Column("signature", "Signature"),
    Column("events", "Events", Kind.COUNT),
    Column("stripped", "Stripped"),
    Column("references_cut", "References cut", Kind.COUNT),
    Column("media_stored", "Media stored", Kind.COUNT),
    Column("media_already_there", "Media already there", Kind.COUNT),
    Column("media_missing", "Media missing", Kind.COUNT),
    Column("media_infected", "Media infected", Kind.COUNT),
)
FOUND = IMPORTED[:3]


@contextmanager
def opened(path: str | None) -> Iterator[BinaryIO]:
    """The file, or stdin for None. Raises `UsageError`."""
    if path is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "The bundle is read from stdin, and stdin is a terminal.",
                fix="Write `< bundle.zip` behind the command, or pass --input bundle.zip.",
            )
        yield sys.stdin.buffer
        return
    with _file(Path(path)) as file:
        yield file


def _file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(
            f"{path} can't be read: {error.strerror}.", fix="Name a bundle with --input."
        ) from None
