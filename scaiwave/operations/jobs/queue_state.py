"""What is in the queues: numbers of jobs, and the jobs themselves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from rq.exceptions import NoSuchJobError
from rq.job import JobStatus
from rq.utils import utcformat

from scaiwave.queue.raw_values import expect, read_list, read_members
from scaiwave.queue.records import JobRecord, UnsafeJob, read_record
from scaiwave.queue.rq_queue import SuiteQueue, open_queues

if TYPE_CHECKING:
    from redis import Redis

_CHUNK = 500


class JobState(Enum):
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class QueuedJob:
    """An entry of a queue. `record` is None for what can't be run, for this `problem`."""

    raw_id: bytes
    queue: str
    state: JobState
    record: JobRecord | None
    problem: str = ""

    @property
    def id(self) -> str:
        return self.raw_id.decode("ascii", "backslashreplace")[:120]


def count_waiting_jobs(redis: Redis) -> dict[str, int]:
    """Return how many jobs wait in each queue, without those that have expired."""
    return {
        queue.name: _count_existing(redis, read_list(redis, queue.key))
        for queue in open_queues(redis)
    }


def _count_existing(redis: Redis, raw_ids: list[bytes]) -> int:
    """An expired job remains in its queue until a worker looks at it."""
    count = 0
    for start in range(0, len(raw_ids), _CHUNK):
        with redis.pipeline(transaction=False) as pipeline:
            for raw_id in raw_ids[start : start + _CHUNK]:
                pipeline.exists(b"rq:job:" + raw_id)
            count += sum(expect(found, int) for found in pipeline.execute())
    return count


def count_running_jobs(redis: Redis) -> dict[str, int]:
    now = time.time()
    return {
        queue.name: expect(redis.zcount(queue.started_job_registry.key, now, "+inf"), int)
        for queue in open_queues(redis)
    }


def count_failed_jobs(redis: Redis) -> dict[str, int]:
    now = time.time()
    return {
        queue.name: expect(redis.zcount(queue.failed_job_registry.key, now, "+inf"), int)
        for queue in open_queues(redis)
    }


def iterate_jobs(redis: Redis, state: JobState | None = None) -> Iterator[QueuedJob]:
    """Yield running, waiting and failed jobs; the waiting in their order, the failed newest first.

    Jobs that have expired are left out.
    """
    for queue in open_queues(redis):
        for kind in JobState:
            if state in (None, kind):
                yield from _iterate_state(redis, queue, kind)


def _iterate_state(redis: Redis, queue: SuiteQueue, state: JobState) -> Iterator[QueuedJob]:
    for raw_id in _list_ids(redis, queue, state):
        if job := _read_job(redis, queue, state, raw_id):
            yield job


def _read_job(redis: Redis, queue: SuiteQueue, state: JobState, raw_id: bytes) -> QueuedJob | None:
    try:
        return QueuedJob(raw_id, queue.name, state, read_record(redis, raw_id))
    except UnsafeJob as unsafe:
        return QueuedJob(raw_id, queue.name, state, None, unsafe.message)
    except NoSuchJobError:
        return None


def _list_ids(redis: Redis, queue: SuiteQueue, state: JobState) -> list[bytes]:
    match state:
        case JobState.RUNNING:
            members = read_members(redis, queue.started_job_registry.key)
            return [member.partition(b":")[0] for member in members]
        case JobState.WAITING:
            return read_list(redis, queue.key)
        case JobState.FAILED:
            return read_members(redis, queue.failed_job_registry.key, newest_first=True)


def find_job_by_id(redis: Redis, job_id: str) -> QueuedJob | None:
    raw_id = job_id.encode()
    for queue in open_queues(redis):
        for state in JobState:
            if _has_job(redis, queue, state, raw_id):
                return _read_job(redis, queue, state, raw_id)
    return None


def _has_job(redis: Redis, queue: SuiteQueue, state: JobState, raw_id: bytes) -> bool:
    """Look for one job without reading the others, of which there may be very many."""
    match state:
        case JobState.RUNNING:
            return raw_id in _list_ids(redis, queue, state)
        case JobState.WAITING:
            return redis.lpos(queue.key, raw_id) is not None  # type: ignore[arg-type]
        case JobState.FAILED:
            return redis.zscore(queue.failed_job_registry.key, raw_id) is not None


def requeue_failed_job(redis: Redis, record: JobRecord) -> bool:
    """Put a failed job to the end of its queue; return False if it is no longer failed."""
    queue = SuiteQueue(record.queue, redis)
    if not redis.zrem(queue.failed_job_registry.key, record.id):
        return False
    key = f"rq:job:{record.id}"
    with redis.pipeline() as pipeline:
        pipeline.hdel(key, "error_code", "error_message", "error_fix", "started_at", "ended_at")
        pipeline.hset(
            key,
            mapping={
                "status": JobStatus.QUEUED.value,
                "enqueued_at": utcformat(datetime.now(UTC)),
            },
        )
        if record.definition.wait_seconds is None:
            pipeline.persist(key)
        else:
            pipeline.expire(key, record.definition.wait_seconds)
        pipeline.rpush(queue.key, record.id)
        pipeline.execute()
    return True


def delete_job(redis: Redis, job: QueuedJob) -> bool:
    """Delete a failed or waiting job; return False if it has been taken or deleted before."""
    queue = SuiteQueue(job.queue, redis)
    if job.state is JobState.FAILED:
        is_removed = redis.zrem(queue.failed_job_registry.key, job.raw_id)
    else:
        is_removed = redis.lrem(queue.key, 0, job.raw_id)  # type: ignore[arg-type]
    if is_removed:
        redis.delete(b"rq:job:" + job.raw_id)
    return bool(is_removed)


def delete_jobs(redis: Redis, jobs: Iterable[QueuedJob]) -> None:
    """Delete failed and waiting jobs."""
    for job in jobs:
        queue = SuiteQueue(job.queue, redis)
        with redis.pipeline() as pipeline:
            if job.state is JobState.FAILED:
                pipeline.zrem(queue.failed_job_registry.key, job.raw_id)
            else:
                pipeline.lrem(queue.key, 0, job.raw_id)  # type: ignore[arg-type]
            pipeline.delete(b"rq:job:" + job.raw_id)
            pipeline.execute()
