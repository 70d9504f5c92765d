"""What this process has committed or written, for the error of an output that can't be delivered.

Such an error must not send an operator to run the command again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

MAX_REMEMBERED = 20
"""Workers and web servers commit without an end."""
MAX_LISTED = 3


class CompletedWork(NamedTuple):
    """`description` names the completed work, with its ID; `command` shows it, if one does."""

    description: str
    command: str


_completed: deque[CompletedWork] = deque(maxlen=MAX_REMEMBERED)


def record_completed(description: str, *, command: str = "scaiwave admin audit") -> None:
    _completed.append(CompletedWork(description, command))


def record_on_commit(description: str, *, command: str) -> None:
    """Record it once the current transaction is committed, or immediately without one."""
    from django.db import transaction

    transaction.on_commit(partial(record_completed, description, command=command))


def list_uncommitted(hooks: Iterable[tuple[object, ...]]) -> list[CompletedWork]:
    """Return the works that `record_on_commit` has put among the hooks of a transaction."""
    functions = (function for _, function, _ in hooks if isinstance(function, partial))
    return [
        CompletedWork(*function.args, **function.keywords)
        for function in functions
        if function.func is record_completed
    ]


def describe_works(works: Sequence[CompletedWork]) -> str:
    shown = "; ".join(work.description for work in works[-MAX_LISTED:])
    return shown + (" and more" if len(works) > MAX_LISTED else "")


def list_completed() -> list[CompletedWork]:
    """Return the latest works, oldest first."""
    return list(_completed)


def forget_completed() -> None:
    """Begin a new command in the same process."""
    _completed.clear()
