"""How long work says how far it has come, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from scaiwave.console.output import Kind

Progress = Callable[[int, int | None], None]
"""Takes how much is done, and of how much if that is known."""


class Bars(Protocol):
    def __call__(self, what: str, kind: Kind = Kind.COUNT, /) -> AbstractContextManager[Progress]:
        """For one part of the work, what is counted being things or bytes."""


def no_progress(done: int, total: int | None) -> None:
    """For whoever does not want to know."""


@contextmanager
def no_bars(what: str, kind: Kind = Kind.COUNT, /) -> Iterator[Progress]:
    yield no_progress
