"""One job in the queues: find it, put it back, delete it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from rq.exceptions import NoSuchJobError
from rq.job import JobStatus
from rq.utils import utcformat

from scaiwave.queue.bounded_values import MAX_LOOK, OversizedValue
from scaiwave.queue.records import JobRecord, UnsafeJob, read_record
from scaiwave.queue.rq_queue import SuiteQueue, open_queues

if TYPE_CHECKING:
    from redis import Redis


class JobState(Enum):
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class QueuedJob:
    """An entry of a queue. `record` is None if it can't be run because of `problem`."""

    raw_id: bytes
    queue: str
    state: JobState
    record: JobRecord | None
    problem: str = ""

    @property
    def id(self) -> str:
        if isinstance(self.raw_id, OversizedValue):
            return f"({self.raw_id.size:,} bytes)"
        return self.raw_id.decode("ascii", "backslashreplace")[:120]


def find_job_by_id(redis: Redis, job_id: str) -> QueuedJob | None:
    raw_id = job_id.encode()
    for queue in open_queues(redis):
        for state in JobState:
            if not _has_job(redis, queue, state, raw_id):
                continue
            try:
                return QueuedJob(raw_id, queue.name, state, read_record(redis, raw_id))
            except UnsafeJob as unsafe:
                return QueuedJob(raw_id, queue.name, state, None, unsafe.message)
            except NoSuchJobError:
                return None
    return None


def _has_job(redis: Redis, queue: SuiteQueue, state: JobState, raw_id: bytes) -> bool:
    """Look for one job without reading the others: there may be very many."""
    match state:
        case JobState.RUNNING:
            members = redis.zscan_iter(queue.started_job_registry.key, count=MAX_LOOK)
            return any(raw_id == member.partition(b":")[0] for member, _ in members)
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
