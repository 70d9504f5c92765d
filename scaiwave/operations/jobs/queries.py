"""The running, waiting and failed jobs in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from scaiwave.core.operators import Operator, Permission
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import JobNotFound
from tenants.lookup.serializers import Row

if TYPE_CHECKING:
    from redis import Redis

    from scaiwave.operations.jobs.jobs_in_redis import QueuedJob

STATES = ("running", "waiting", "failed")


def list_jobs(*, operator: Operator, state: str | None, limit: int | None) -> Iterator[Row]:
    """Yield the jobs: running, then waiting, then failed. Raises RedisUnreachable."""
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.jobs_in_redis import JobState, iterate_jobs

        jobs = iterate_jobs(redis, JobState(state) if state else None)
        for job in islice(jobs, limit):
            yield build_job_row(job)


def show_job(*, operator: Operator, job_id: str) -> Row:
    """Return a job with its arguments. Raises JobNotFound and RedisUnreachable."""
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        queued = get_job(redis, job_id)
    job = None if queued.problem else queued.job
    return {
        **build_job_row(queued),
        "function": job and job.func_name,
        "arguments": job and job.args,
        "created_at": job and job.created_at,
    }


def get_job(redis: Redis, job_id: str) -> QueuedJob:
    """Raises JobNotFound."""
    from scaiwave.operations.jobs.jobs_in_redis import find_job_by_id

    job = find_job_by_id(redis, job_id)
    if job is None:
        raise JobNotFound(f"Job not found: {job_id}.")
    return job


def build_job_row(queued: QueuedJob) -> Row:
    """A job that workers refuse has a `problem`, and is unknown otherwise."""
    job = None if queued.problem else queued.job
    return {
        "id": queued.id,
        "name": job and job.name,
        "queue": queued.queue.name,
        "state": queued.state.value,
        "enqueued_at": job and job.enqueued_at,
        "started_at": job and job.started_at,
        "ended_at": job and job.ended_at,
        "worker": (job and job.worker_name) or None,
        "attempts": job and job.attempts,
        "error": queued.job and queued.job.last_error,
        "problem": queued.problem or None,
    }
