"""Progress reporting for long-running work, independent of how it is displayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from scaiwave.console.columns import ColumnType

ProgressCallback = Callable[[int, int | None], None]
"""Takes the amount done, and the total or None."""


class ProgressFactory(Protocol):
    def __call__(
        self, label: str, kind: ColumnType = ColumnType.COUNT, /
    ) -> AbstractContextManager[ProgressCallback]:
        """Start one part of the work, which is counted in items or bytes."""


def null_progress(done: int, total: int | None) -> None:
    """Ignore progress."""


@contextmanager
def null_progress_factory(
    label: str, kind: ColumnType = ColumnType.COUNT, /
) -> Iterator[ProgressCallback]:
    yield null_progress
