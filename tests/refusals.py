"""Expect an error, with its texts as a whole, and decline what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.errors import ScaiWaveError

Error = TypeVar("Error", bound=ScaiWaveError)


@contextmanager
def refuses(
    error: type[Error], message: str, fix: str | None = None
) -> Iterator[pytest.ExceptionInfo[Error]]:
    """Assert that the block raises this error with this message, and this fix if one is given."""
    with pytest.raises(error) as caught:
        yield caught
    assert caught.value.message == message
    if fix is not None:
        assert caught.value.fix == fix


def decline(question: str) -> None:
    """Answer with no; the error has the question."""
    raise ConfirmationDeclined(question)
