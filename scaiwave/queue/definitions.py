"""The type of all jobs, and the limits of their queues."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from scaiwave.config import Configuration

URGENT, BACKGROUND = "default", "background"
QUEUES = (URGENT, BACKGROUND)
"""The queues of this server, in the order of a worker: events and syncs before
maintenance, which may take an hour."""

STATES = RUNNING, WAITING, FAILED = ("running", "waiting", "failed")

MINUTE, HOUR, DAY = 60, 60 * 60, 24 * 60 * 60
MAX_SYNC_SECONDS = 12 * HOUR
"""The limit of a sync, unless a setting says otherwise."""
GRACE_SECONDS = 60
"""How long a job may run on after a signal to its worker."""
FAILED_JOB_SECONDS = 7 * DAY
"""How long Redis keeps a failed job."""


_STEPS = re.compile(r"(\d+)-59/(\d+)", re.ASCII)
REFUSALS_COUNTER = "jobs_refused"


class RefusalReason(Enum):
    """Why a job is refused; the values are labels of a metric."""

    ID = "id"
    SIZE = "size"
    FORMAT = "format"
    FUNCTION = "function"
    ARGUMENTS = "arguments"


def takes_nothing(arguments: Sequence[object]) -> bool:
    return not arguments


def takes_one_id(arguments: Sequence[object]) -> bool:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        return False
    try:
        return str(UUID(arguments[0])) == arguments[0]
    except ValueError:
        return False


def get_sync_job_timeout(config: Configuration) -> int:
    """Return the limit of the job of a sync, in seconds.

    The sync has a limit of its own, which may follow its earlier runs and whose error gives the
    reason. This one is longer than that.
    """
    return (config.get_int("SCAIWAVE_SYNC_TIMEOUT_SECONDS") or MAX_SYNC_SECONDS) + MINUTE


@dataclass(frozen=True)
class JobDefinition:
    """A function that workers may run.

    `function` is its name in Redis, and its import path unless `moved_to` is: other releases have
    queued it by that name, and may run it. `get_timeout` returns its limit in seconds.
    `wait_seconds` is how long a job waits for a worker; None is without end. `accepts` checks the
    arguments, which come from Redis. `cron` is when the scheduler starts it, in UTC (Django sets
    the time zone of the process), if `is_scheduled` allows it, and `why_off` is the reason if it
    does not; one that `is_of_cron` only cron starts. `command` is what does the same, without
    `scaiwave`. `occasion` is what enqueues a job without `cron`. `queue` is one of QUEUES; with
    `at_front` the job goes before all waiting jobs.
    `on_killed` is the path of a function that records the end of the job's work, with the reason,
    after its process was killed. One that `runs_once` is a request that has an ID: it can't be
    repeated. `process` is the command that does the same without Redis, unless it is `run_job`. One
    that `is_single` has at most one process on a host, whatever its arguments are.
    """

    function: str
    get_timeout: Callable[[Configuration], int]
    wait_seconds: int | None = None
    accepts: Callable[[Sequence[object]], bool] = takes_nothing
    cron: str = ""
    is_scheduled: Callable[[Configuration], bool] = lambda config: True
    why_off: str = ""
    command: str = ""
    occasion: str = ""
    is_of_cron: bool = False
    moved_to: str = ""
    queue: str = URGENT
    at_front: bool = False
    on_killed: str = ""
    runs_once: bool = False
    process: str = ""
    is_single: bool = False

    @property
    def path(self) -> str:
        return self.moved_to or self.function

    @property
    def name(self) -> str:
        """The name of the function without its module, for people."""
        return self.function.rpartition(".")[2]


def describe_cron(cron: str, zone: str = " UTC") -> str:
    """Return the usual forms of a cron line in words, with a time zone, and others as they are."""
    match cron.split():
        case [minutes, "*", "*", "*", "*"] if steps := _STEPS.fullmatch(minutes):
            first, step = steps.groups()
            return f"every {step} minutes, from minute {first} of the hour"
        case [minute, "*", "*", "*", "*"] if minute.isdecimal():
            return f"every hour at minute {minute}"
        case [minute, hour, "*", "*", "*"] if minute.isdecimal() and hour.isdecimal():
            return f"every day at {int(hour)}:{int(minute):02}{zone}"
    return cron
