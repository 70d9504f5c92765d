"""The running, waiting and failed jobs in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaiwave.core.operators import Operator, Permission
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import JobNotFound
from tenants.lookup.serializers import Row

if TYPE_CHECKING:
    from redis import Redis

    from scaiwave.queue.rq_queue import SuiteJob


def list_jobs(*, operator: Operator, state: str | None, limit: int | None) -> Iterator[Row]:
    """Yield the jobs: running, then waiting, then failed. Raises RedisUnreachable."""
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.jobs_in_redis import load_jobs

        jobs = load_jobs(redis, *filter(None, [state]))
    yield from map(build_job_row, jobs[:limit])


def show_job(*, operator: Operator, job_id: str) -> Row:
    """Return a job with its arguments. Raises JobNotFound and RedisUnreachable."""
    job = find_job(operator=operator, job_id=job_id)
    known = None if job.problem else job
    return {
        **build_job_row(job),
        "function": known and known.func_name,
        "arguments": known and known.args,
        "created_at": known and known.created_at,
    }


def find_job(*, operator: Operator, job_id: str) -> SuiteJob:
    """Raises JobNotFound and RedisUnreachable."""
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        return get_job(redis, job_id)


def get_job(redis: Redis, job_id: str) -> SuiteJob:
    """Raises JobNotFound."""
    from scaiwave.operations.jobs.jobs_in_redis import load_jobs

    for job in load_jobs(redis):
        if job.id == job_id:
            return job
    raise JobNotFound(f"Job not found: {job_id}.")


def build_job_row(job: SuiteJob) -> Row:
    """A job that workers refuse has a `problem`, and is unknown otherwise."""
    known = None if job.problem else job
    return {
        "id": job.id,
        "name": known and known.name,
        "queue": job.origin,
        "state": job.state,
        "enqueued_at": known and known.enqueued_at,
        "started_at": known and known.started_at,
        "ended_at": known and known.ended_at,
        "worker": (known and known.worker_name) or None,
        "attempts": known and known.attempts,
        "error": job.last_error,
        "problem": job.problem or None,
    }
