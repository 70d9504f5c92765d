"""The running, waiting and failed jobs in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from scaiwave.core.operators import Operator, Permission
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import JobNotFound
from tenants.lookup.serializers import Row

if TYPE_CHECKING:
    from redis import Redis

    from scaiwave.operations.jobs.queue_state import QueuedJob

STATES = ("running", "waiting", "failed")


def list_jobs(*, operator: Operator, state: str | None, limit: int | None) -> Iterator[Row]:
    """Yield the jobs: running, then waiting, then failed. Raises RedisUnreachable."""
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.job_pages import iterate_jobs
        from scaiwave.operations.jobs.queue_state import JobState

        jobs = iterate_jobs(redis, JobState(state) if state else None)
        for job in islice(jobs, limit):
            yield build_job_row(job)


def show_job(*, operator: Operator, job_id: str) -> Row:
    """Return a job with its arguments. Raises JobNotFound and RedisUnreachable."""
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        job = get_job(redis, job_id)
    record = job.record
    return {
        **build_job_row(job),
        "function": record.definition.function if record else None,
        "arguments": record.arguments if record else None,
        "created_at": record.created_at if record else None,
    }


def get_job(redis: Redis, job_id: str) -> QueuedJob:
    """Raises JobNotFound."""
    from scaiwave.operations.jobs.queue_state import find_job_by_id

    job = find_job_by_id(redis, job_id)
    if job is None:
        raise JobNotFound(f"Job not found: {job_id}.")
    return job


def build_job_row(job: QueuedJob) -> Row:
    """A job that workers refuse has a `problem`, and is unknown otherwise."""
    record = job.record
    error: dict[str, Any] | None = dict(record.error) if record and record.error else None
    return {
        "id": job.id,
        "name": record.definition.name if record else None,
        "queue": job.queue,
        "state": job.state.value,
        "enqueued_at": record.enqueued_at if record else None,
        "started_at": record.started_at if record else None,
        "ended_at": record.ended_at if record else None,
        "worker": (record.worker or None) if record else None,
        "attempts": record.attempts if record else None,
        "error": error,
        "problem": job.problem or None,
    }
