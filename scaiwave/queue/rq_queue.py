"""RQ's job and queue, with JSON in place of pickle and without what else runs code from Redis."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django_rq.queues import DjangoRQ
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus

from scaiwave.ids import new_id
from scaiwave.queue.bounded_values import MAX_LOOK, OversizedValue, delete_oversized
from scaiwave.queue.definitions import FAILED_JOB_SECONDS, QUEUES, JobDefinition, RefusalReason
from scaiwave.queue.errors import JobRefused
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.keys import LAST_JOB_KEY
from scaiwave.queue.raw_values import MAX_NAME_BYTES, expect, read_list
from scaiwave.queue.records import (
    JobRecord,
    UnsafeJob,
    find_missing,
    parse_job_id,
    read_record,
    read_records,
)

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger("scaiwave.worker")

MAX_DROPPED = 1000
OnRefused = Callable[[RefusalReason], None]


class JsonSerializer:
    """The serializer of every job. It reads nothing: `scaiwave.queue.records` does."""

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        return json.dumps(value).encode()

    @staticmethod
    def loads(data: bytes, /) -> Any:
        raise NotImplementedError


class SuiteJob(Job):
    """A job whose record has been checked; all its limits come from its definition."""

    record: JobRecord

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - RQ's name
        connection: Redis | None = None,
        serializer: Any = None,
    ) -> None:
        super().__init__(id, connection=connection, serializer=JsonSerializer)

    @property
    def definition(self) -> JobDefinition:
        return self.record.definition

    @property
    def time_limit(self) -> int:
        """In seconds."""
        return self.definition.get_timeout(settings.CONFIG)

    @classmethod
    def fetch(
        cls,
        id: str,  # noqa: A002 - RQ's name
        connection: Redis | None = None,
        serializer: Any = None,
    ) -> SuiteJob:
        """Raises NoSuchJobError, which includes UnsafeJob."""
        job = cls(parse_job_id(id), connection=connection)
        job.refresh()
        return job

    @classmethod
    def fetch_many(
        cls, job_ids: Iterable[str], connection: Redis, serializer: Any = None
    ) -> list[Job | None]:
        raise NotImplementedError  # only jobs with dependencies need it

    def refresh(self) -> None:
        record = read_record(self.connection, self.id)
        self.record = record
        self._status = JobStatus.QUEUED
        self.func_name = record.definition.function
        self.args, self.kwargs = record.arguments, {}
        self.description = record.definition.name
        self.origin = record.queue
        self.timeout = self.time_limit
        self.enqueued_at, self.started_at = record.enqueued_at, record.started_at
        self.failure_ttl = FAILED_JOB_SECONDS

    def restore(self, raw_data: Any) -> None:
        raise NotImplementedError  # it would read everything

    def perform(self) -> Any:
        module, _, name = self.definition.path.rpartition(".")
        return getattr(import_module(module), name)(*self.record.arguments)


class SuiteQueue(DjangoRQ):
    """A queue that discards jobs which this server must not run, and reports them.

    `django_rq.get_queue` returns it too (see RQ in the settings), with options of which it takes
    none: its jobs are JSON, and are enqueued at once.
    """

    job_class = SuiteJob
    on_refused: OnRefused | None = None

    def __init__(self, name: str, connection: Redis, **ignored: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            name,
            connection=connection,
            job_class=SuiteJob,
            serializer=JsonSerializer,
            commit_mode="auto",
        )

    @property
    def intermediate_key(self) -> str:
        return IntermediateQueue.get_intermediate_queue_key(self.key)

    def take(self, seconds: int | None) -> SuiteJob | None:
        """Return the next job that may be run, or None if none arrives within these seconds.

        It stays in RQ's intermediate queue until it is started, so that it is not lost. With None
        it does not wait. It returns None also after MAX_DROPPED entries that can't be run, so that
        a worker sends heartbeats and can be stopped however many there are.
        """
        left = MAX_DROPPED
        while left > 0:
            try:
                _, raw_id = self.lmove(self.connection, self.key, seconds) or (None, None)
            except DequeueTimeout:
                return None
            if raw_id is None:
                return None
            left -= 1
            raw_id = expect(raw_id, bytes)
            try:
                return SuiteJob.fetch(parse_job_id(raw_id), connection=self.connection)
            except UnsafeJob as unsafe:
                self.discard(raw_id, unsafe)
            except NoSuchJobError:  # it has expired
                self.remove_intermediate(raw_id)
                left -= self._drop_expired(min(left, MAX_LOOK))
        return None

    def _drop_expired(self, limit: int) -> int:
        """Drop the first entries whose jobs have expired, all at once; return how many."""
        first = read_list(self.connection, self.key, limit=limit) if limit else []
        expired = find_missing(self.connection, first)
        if not expired:  # What is left of a job may be of no use.
            pairs = zip(first, read_records(self.connection, first), strict=True)
            expired = [raw_id for raw_id, found in pairs if type(found) is NoSuchJobError]
        with self.connection.pipeline(transaction=False) as pipeline:
            for raw_id in expired:
                pipeline.lrem(self.key, 1, raw_id)  # type: ignore[arg-type]
            pipeline.execute()
        return len(expired)

    def remove_intermediate(self, raw_id: bytes) -> None:
        self.connection.lrem(self.intermediate_key, 1, raw_id)  # type: ignore[arg-type]

    def discard(self, raw_id: bytes, unsafe: UnsafeJob) -> None:
        """Delete a job that must not be run, log it, and report it."""
        if isinstance(raw_id, OversizedValue):
            self.discard_oversized()
            return
        with self.connection.pipeline() as pipeline:
            pipeline.lrem(self.intermediate_key, 1, raw_id)  # type: ignore[arg-type]
            pipeline.delete(b"rq:job:" + raw_id)
            pipeline.execute()
        self._report_refused(raw_id.decode("ascii", "backslashreplace")[:120], unsafe)

    def discard_oversized(self) -> None:
        """Delete the entries of the queue and its registries that are larger than any job ID."""
        registries = (self.started_job_registry.key, self.failed_job_registry.key)
        for key in (self.intermediate_key, self.key, *registries):
            for size in delete_oversized(self.connection, key, is_list=key not in registries):
                unsafe = UnsafeJob(RefusalReason.SIZE, f"its ID has {size:,} bytes")
                self._report_refused(f"an entry of {key}", unsafe)

    def _report_refused(self, text: str, unsafe: UnsafeJob) -> None:
        logger.error(
            "Job refused: %s: %s. [%s] Fix: %s",
            text,
            unsafe.message,
            JobRefused.code,
            JobRefused.fix,
            extra={"job_id": text, "code": JobRefused.code, "reason": unsafe.reason.value},
        )
        if self.on_refused is not None:
            self.on_refused(unsafe.reason)


def open_queues(redis: Redis, names: Sequence[str] = QUEUES) -> list[SuiteQueue]:
    return [SuiteQueue(name, redis) for name in names]


def enqueue_job(redis: Redis, function: str, *arguments: str, job_id: str | None = None) -> str:
    """Put a job of the table into its queue, and return its ID.

    The definition must accept the arguments. `is_last_waiting` finds the job.
    """
    definition = JOBS[function]
    job = SuiteQueue(definition.queue, redis).enqueue(
        function,
        *arguments,
        job_id=job_id or f"{definition.name}-{new_id().hex}",
        job_timeout=definition.get_timeout(settings.CONFIG),
        ttl=definition.wait_seconds,
        failure_ttl=FAILED_JOB_SECONDS,
        result_ttl=0,
        description=definition.name,
        at_front=definition.at_front,
    )
    redis.set(LAST_JOB_KEY.format(definition.name), job.id)
    return job.id


def is_last_waiting(redis: Redis, function: str) -> bool:
    """Whether the job of this function that was enqueued last still waits for a worker.

    Earlier ones are before it in the queue. Other entries are not read: there may be very many.
    """
    definition = JOBS[function]
    last_key = LAST_JOB_KEY.format(definition.name)
    job_id = expect(redis.getrange(last_key, 0, MAX_NAME_BYTES), bytes)
    key = SuiteQueue(definition.queue, redis).key
    return bool(job_id) and redis.lpos(key, job_id) is not None  # type: ignore[arg-type]
