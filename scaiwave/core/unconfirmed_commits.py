"""Commits without a response of the database: the connection was lost."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import OperationalError

from scaiwave.core.completed_work import CompletedWork


class UnconfirmedCommit(OperationalError):
    """The response to a COMMIT was lost. `is_saved` is true, or None if that is not known.

    `works` lists the changes of the transaction.
    """

    def __init__(
        self, message: str, works: Sequence[CompletedWork], *, is_saved: bool | None
    ) -> None:
        super().__init__(message)
        self.works = list(works)
        self.is_saved = is_saved


def find_unconfirmed_commit(error: BaseException | None) -> UnconfirmedCommit | None:
    """Return the error itself, or the one that it was raised after.

    Django connects again after a commit, and that may fail too.
    """
    while error is not None and not isinstance(error, UnconfirmedCommit):
        error = error.__context__
    return error
