"""How long work says how far it has come, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from scaiwave.console.columns import ColumnType

ProgressCallback = Callable[[int, int | None], None]
"""Takes how much is done, and of how much if that is known."""


class ProgressFactory(Protocol):
    def __call__(
        self, what: str, kind: ColumnType = ColumnType.COUNT, /
    ) -> AbstractContextManager[ProgressCallback]:
        """For one part of the work, what is counted being things or bytes."""


def null_progress(done: int, total: int | None) -> None:
    """For whoever does not want to know."""


@contextmanager
def null_progress_factory(
    what: str, kind: ColumnType = ColumnType.COUNT, /
) -> Iterator[ProgressCallback]:
    yield null_progress
