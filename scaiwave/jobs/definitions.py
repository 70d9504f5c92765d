"""The jobs that workers may run. Apps register theirs with `scaiwave.registry.register_job`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from scaiwave.config import Configuration

QUEUES = ("default",)
"""The queues of this server."""

MINUTE, HOUR, DAY = 60, 60 * 60, 24 * 60 * 60
FAILED_JOB_SECONDS = 7 * DAY
"""How long Redis keeps a failed job."""


class RefusalReason(Enum):
    """Why a job is refused; the values are labels of a metric."""

    ID = "id"
    SIZE = "size"
    FORMAT = "format"
    FUNCTION = "function"
    ARGUMENTS = "arguments"


def takes_nothing(arguments: Sequence[Any]) -> bool:
    return not arguments


def takes_one_id(arguments: Sequence[Any]) -> bool:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        return False
    try:
        return str(UUID(arguments[0])) == arguments[0]
    except ValueError:
        return False


def get_sync_timeout(config: Configuration) -> int:
    """Return the limit of a sync that the scheduler starts, in seconds."""
    return max(config.get_int("SCAIWAVE_SYNC_TIMEOUT_SECONDS"), 1)


def _always(config: Configuration) -> bool:
    return True


@dataclass(frozen=True)
class JobDefinition:
    """A function that workers may run.

    `function` is its import path. `get_timeout` returns its limit in seconds. `wait_seconds` is how
    long a job waits for a worker; None is without end. `accepts` checks the arguments, which come
    from Redis. `cron` is when the scheduler starts it, in the time zone of the host, if
    `is_scheduled` allows it.
    """

    function: str
    get_timeout: Callable[[Configuration], int]
    wait_seconds: int | None = None
    accepts: Callable[[Sequence[Any]], bool] = takes_nothing
    cron: str = ""
    is_scheduled: Callable[[Configuration], bool] = _always

    @property
    def name(self) -> str:
        """The name of the function without its module, for people."""
        return self.function.rpartition(".")[2]
