"""RQ's job and queue, with JSON alone and with one table of functions.

A writer of Redis can start the functions of the table, and nothing else. A job keeps only the
fields that RQ's bookkeeping needs: callbacks, webhooks, results, dependencies, groups, rate limits
and repeats of a record are never loaded, so that RQ's own code finds none to run. All limits come
from the table.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django_rq.queues import DjangoRQ
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job, Retry
from rq.serializers import JSONSerializer

from scaiwave.core.errors import ScaiWaveError
from scaiwave.ids import new_id
from scaiwave.queue.definitions import FAILED_JOB_SECONDS, QUEUES, JobDefinition, RefusalReason
from scaiwave.queue.errors import JobRefused
from scaiwave.queue.jobs import JOBS

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger("scaiwave.worker")

MAINTENANCE_SECONDS = 25
"""How often a queue is cleaned of what killed workers have left."""
ERROR_FIELDS = ("error_code", "error_message", "error_fix")
_FIELDS = frozenset(
    (
        *(b"data", b"origin", b"status", b"description", b"ttl", b"worker_name"),
        *(b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat"),
        *(b"retries_left", b"enqueue_at_front_on_retry"),
    )
)
"""What RQ may read of a record. Beside it are `attempts` and ERROR_FIELDS, of this suite."""


class SuiteJob(Job):
    """A job of the table, or one that ends with SW_JOB_REFUSED.

    `failure` is the error of this run, `last_error` the error of the last one, and `attempts` how
    often a worker has started it, or None if that is not known. `state` is one of STATES.
    """

    success_callback = failure_callback = stopped_callback = None
    failure: ScaiWaveError | None = None
    last_error: Mapping[str, str] | None = None
    attempts: int | None = None
    state = ""

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - RQ's name
        connection: Redis | None = None,
        serializer: object = None,
    ) -> None:
        super().__init__(id, connection, JSONSerializer)  # `rqworker` asks for pickle.

    @classmethod
    def fetch(cls, *args: Any, **options: Any) -> SuiteJob:
        """Raises NoSuchJobError, even for a record that can't be read: RQ drops its ID."""
        try:
            return super().fetch(*args, **options)  # type: ignore[return-value]
        except ValueError as error:
            raise NoSuchJobError(f"Its record in Redis can't be read: {error}.") from error

    def restore(self, raw_data: dict[bytes, bytes]) -> None:
        super().restore({name: raw_data[name] for name in _FIELDS & raw_data.keys()})
        definition = self.definition
        self.timeout = definition.get_timeout(settings.CONFIG) if definition else 1
        self.result_ttl, self.failure_ttl = 0, FAILED_JOB_SECONDS
        if self.runs_once or (self.retries_left or 0) > 1:
            self.retries_left = None
        code, message, fix = (raw_data.get(name.encode(), b"").decode() for name in ERROR_FIELDS)
        self.last_error = {"code": code, "message": message, "fix": fix} if code else None
        self.attempts = int(raw_data[b"attempts"]) if b"attempts" in raw_data else None

    @property
    def definition(self) -> JobDefinition | None:
        with suppress(DeserializationError):
            return JOBS.get(self.func_name) if isinstance(self.func_name, str) else None
        return None

    @property
    def name(self) -> str:
        return self.definition.name if self.definition and not self.problem else "refused"

    @property
    def problem(self) -> str:
        """Why no worker runs it, or an empty text."""
        refusal = self.find_refusal()
        return refusal[1] if refusal else ""

    @property
    def runs_once(self) -> bool:
        return self.definition is None or self.definition.runs_once

    def find_refusal(self) -> tuple[RefusalReason, str] | None:
        """Return why no worker runs it."""
        try:
            name, definition = self.func_name, self.definition
        except DeserializationError:
            is_pickled = self.data[:1] == b"\x80"
            what = "pickled, as in earlier releases" if is_pickled else "not JSON"
            return RefusalReason.FORMAT, f"it is {what}"
        if not isinstance(name, str) or self.instance is not None:
            return RefusalReason.FORMAT, "it is not a call of a function"
        if definition is None:
            text = f"{name[:120]} is not a function that workers may run"
            return RefusalReason.FUNCTION, text
        if self.kwargs or not isinstance(self.args, list) or not definition.accepts(self.args):
            text = f"{definition.name} does not accept its arguments"
            return RefusalReason.ARGUMENTS, text
        return None

    def is_kept(self) -> bool:
        """Whether Redis still has the record. Heartbeats leave a part of one that it has lost."""
        if self.connection.hexists(self.key, "data"):
            return True
        self.connection.delete(self.key)
        return False

    def perform(self) -> Any:
        """Raises JobRefused, and what the function raises."""
        definition = self.definition
        if definition is None or self.problem:
            raise JobRefused(f"{self.problem}.")
        self.connection.hdel(self.key, *ERROR_FIELDS)
        self.connection.hincrby(self.key, "attempts", 1)
        name, started = definition.name, time.monotonic()
        logger.info("Job started: %s (%s).", name, self.id)
        module, _, function = definition.path.rpartition(".")
        result = getattr(import_module(module), function)(*self.args)
        seconds = time.monotonic() - started
        logger.info("Job completed: %s (%s) in %.1f s.", name, self.id, seconds)
        return result


class SuiteQueue(DjangoRQ):
    """A queue of SuiteJobs. `django_rq.get_queue` returns it too (see RQ in the settings)."""

    job_class = SuiteJob

    def __init__(self, *args: Any, **options: Any) -> None:
        ours = {"serializer": JSONSerializer, "job_class": SuiteJob, "commit_mode": "auto"}
        super().__init__(*args, **{**options, **ours})  # type: ignore[no-untyped-call]

    @classmethod
    def dequeue_any(  # type: ignore[override]
        cls, queues: Any, timeout: int | None, connection: Redis, **options: Any
    ) -> tuple[SuiteJob, SuiteQueue] | None:
        """Look into one queue after the other, and wait at the first one.

        From a single queue RQ moves the ID of a job to where it is found again if the worker is
        killed before it starts the job; from several it takes it out.
        """
        found: Any = None
        for queue in queues:
            found = found or super().dequeue_any([queue], None, connection, **options)
        if found is None and timeout is not None:
            found = super().dequeue_any(queues[:1], timeout, connection, **options)
        if found is not None:
            job, queue = found
            seen_key = queue.intermediate_queue.get_first_seen_key(job.id)
            connection.set(seen_key, time.time(), ex=300)
        return found  # type: ignore[no-any-return]

    def move_dependents_to_ready(self, *args: object, **options: object) -> dict[str, list[str]]:
        return {}  # No job of this suite has any.

    def acquire_maintenance_lock(self) -> bool:
        """RQ's lock lasts 15 minutes, and remains if its worker is killed."""
        key = self.registry_cleaning_key
        return bool(self.connection.set(key, 1, nx=True, ex=MAINTENANCE_SECONDS))


def open_queues(redis: Redis, names: Sequence[str] = QUEUES) -> list[SuiteQueue]:
    return [SuiteQueue(name, connection=redis) for name in names]


def enqueue_job(redis: Redis, function: str, *arguments: str, job_id: str | None = None) -> str:
    """Put a job of the table into its queue, and return its ID.

    The definition must accept the arguments.
    """
    definition = JOBS[function]
    job = SuiteQueue(definition.queue, connection=redis).enqueue(
        function,
        *arguments,
        job_id=job_id or _get_prefix(function, arguments) + new_id().hex,
        job_timeout=definition.get_timeout(settings.CONFIG),
        ttl=definition.wait_seconds,
        failure_ttl=FAILED_JOB_SECONDS,
        result_ttl=0,
        description=definition.name,
        at_front=definition.at_front,
        retry=None if definition.runs_once else Retry(max=1, enqueue_at_front=True),
    )
    return str(job.id)


def wake(redis: Redis, function: str, *arguments: str, jobs: int = 1) -> int:
    """Let so many jobs of the same call wait for a worker; return how many there are.

    One that runs may be about to end, so another one may wait.
    """
    waiting = count_waiting(redis, function, *arguments)
    for _ in range(jobs - waiting):
        enqueue_job(redis, function, *arguments)
    return max(jobs, waiting)


def count_waiting(redis: Redis, function: str, *arguments: str) -> int:
    """Return how many jobs with these arguments, or with any, wait for a worker."""
    key = SuiteQueue(JOBS[function].queue, connection=redis).key
    prefix = _get_prefix(function, arguments).encode()
    job_ids: Any = redis.lrange(key, 0, -1)
    return sum(job_id.startswith(prefix) for job_id in job_ids)


def _get_prefix(function: str, arguments: Sequence[str]) -> str:
    return "-".join((JOBS[function].name, *arguments, ""))
