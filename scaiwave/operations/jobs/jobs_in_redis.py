"""The running, waiting and failed jobs in Redis: list them, find one, put it back, delete it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rq.exceptions import InvalidJobOperation, NoSuchJobError

from scaiwave.queue.rq_queue import ERROR_FIELDS, SuiteJob, SuiteQueue, open_queues

if TYPE_CHECKING:
    from redis import Redis

PIECE = 100


class JobState(Enum):
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"


_ORDER = (JobState.RUNNING, JobState.FAILED, JobState.WAITING)
_GONE = {
    JobState.RUNNING: "it has ended",
    JobState.FAILED: "it has expired",
    JobState.WAITING: "it has expired: the next worker drops it",
}


@dataclass(frozen=True)
class QueuedJob:
    """An entry of a queue. `job` is None if its record has expired, or can't be read."""

    raw_id: bytes
    queue: SuiteQueue
    state: JobState
    job: SuiteJob | None

    @property
    def id(self) -> str:
        return self.raw_id.decode("ascii", "backslashreplace")[:120]

    @property
    def name(self) -> str:
        return self.job.name if self.job else "refused"

    @property
    def problem(self) -> str:
        """Why no worker runs it, or an empty text."""
        return self.job.problem if self.job else _GONE[self.state]


@dataclass(frozen=True)
class JobPage:
    """Some of the jobs. `counts` include waiting jobs that have expired, which workers drop."""

    jobs: Sequence[QueuedJob]
    counts: Mapping[JobState, int]
    number: int
    pages: int


def list_ids(redis: Redis, state: JobState) -> list[tuple[SuiteQueue, bytes]]:
    """Return the IDs in their queues: the waiting jobs in their order, the others newest first."""
    found: list[tuple[SuiteQueue, bytes]] = []
    for queue in open_queues(redis):
        ids: Any
        if state is JobState.WAITING:
            ids = redis.lrange(queue.key, 0, -1)
        elif state is JobState.FAILED:
            ids = redis.zrevrangebyscore(queue.failed_job_registry.key, "+inf", time.time())
        else:  # The ID of a job, and the ID of its execution
            members: Any = redis.zrange(queue.started_job_registry.key, 0, -1, desc=True)
            ids = [member.partition(b":")[0] for member in members]
        found += [(queue, raw_id) for raw_id in ids]
    return found


def read_job_page(redis: Redis, state: JobState | None, *, number: int, size: int) -> JobPage:
    """Return a page of the running, then the failed, then the waiting jobs, the newest first.

    A page beyond the last is the last one.
    """
    entries = {kind: list_ids(redis, kind) for kind in _ORDER}
    entries[JobState.WAITING].reverse()
    chosen = [(kind, each) for kind in _ORDER if state in (None, kind) for each in entries[kind]]
    pages = max(1, -(-len(chosen) // size))
    number = min(max(number, 1), pages)
    jobs = _load(redis, chosen[(number - 1) * size : number * size])
    return JobPage(jobs, {kind: len(ids) for kind, ids in entries.items()}, number, pages)


def iterate_jobs(redis: Redis, state: JobState | None = None) -> Iterator[QueuedJob]:
    """Yield running, waiting and failed jobs; the waiting in their order, the failed newest first.

    They are read in pieces: jobs that end in the meantime have no record.
    """
    for kind in JobState if state is None else (state,):
        entries = [(kind, each) for each in list_ids(redis, kind)]
        for start in range(0, len(entries), PIECE):
            yield from _load(redis, entries[start : start + PIECE])


def _load(
    redis: Redis, entries: Sequence[tuple[JobState, tuple[SuiteQueue, bytes]]]
) -> list[QueuedJob]:
    with redis.pipeline(transaction=False) as pipeline:
        for _, (_, raw_id) in entries:
            pipeline.hgetall(b"rq:job:" + raw_id)
        records = pipeline.execute()
    return [
        QueuedJob(raw_id, queue, state, _restore(redis, raw_id, record))
        for (state, (queue, raw_id)), record in zip(entries, records, strict=True)
    ]


def _restore(redis: Redis, raw_id: bytes, record: Mapping[bytes, bytes]) -> SuiteJob | None:
    try:
        job = SuiteJob(raw_id.decode(), redis)
        job.restore(record)
    except (ValueError, NoSuchJobError):
        return None
    return job


def count_jobs(redis: Redis, state: JobState) -> dict[str, int]:
    """Return how many jobs each queue has in this state, without expired ones."""
    counts = {queue.name: 0 for queue in open_queues(redis)}
    with redis.pipeline(transaction=False) as pipeline:
        entries = list_ids(redis, state)
        for _, raw_id in entries:
            pipeline.exists(b"rq:job:" + raw_id)
        for (queue, _), exists in zip(entries, pipeline.execute(), strict=True):
            counts[queue.name] += exists
    return counts


def find_job_by_id(redis: Redis, job_id: str) -> QueuedJob | None:
    for state in JobState:
        for entry in list_ids(redis, state):
            if entry[1] == job_id.encode():
                return _load(redis, [(state, entry)])[0]
    return None


def requeue_failed_job(job: SuiteJob) -> bool:
    """Put a failed job to the end of its queue; return False if it is no longer failed."""
    job.retries_left = 1
    job.connection.hdel(job.key, *ERROR_FIELDS)
    try:
        SuiteQueue(job.origin, connection=job.connection).failed_job_registry.requeue(job)
    except InvalidJobOperation:
        return False
    return True


def delete_job(queued: QueuedJob) -> bool:
    """Delete a failed or waiting job; return False if it has been taken or deleted before."""
    redis = queued.queue.connection
    if queued.state is JobState.FAILED:
        is_removed = redis.zrem(queued.queue.failed_job_registry.key, queued.raw_id)
    else:
        is_removed = redis.lrem(queued.queue.key, 0, queued.raw_id)  # type: ignore[arg-type]
    if is_removed:
        redis.delete(b"rq:job:" + queued.raw_id, b"rq:results:" + queued.raw_id)
    return bool(is_removed)
