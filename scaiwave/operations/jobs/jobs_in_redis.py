"""The running, waiting and failed jobs in Redis: read them, put one back, delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rq.exceptions import InvalidJobOperation

from scaiwave.queue.definitions import FAILED, STATES, WAITING
from scaiwave.queue.rq_queue import ERROR_FIELDS, SuiteJob, SuiteQueue, open_queues

if TYPE_CHECKING:
    from redis import Redis


def load_jobs(redis: Redis, *states: str, limit: int | None = None) -> list[SuiteJob]:
    """Return the jobs in these states, or all: the waiting in their order, the others newest first.

    `limit` is the most of one queue and state. Expired jobs are left out: workers drop their IDs.
    """
    jobs = []
    for state in states or STATES:
        for queue in open_queues(redis):
            found: Any = SuiteJob.fetch_many(_list_ids(queue, state)[:limit], redis)
            for job in filter(None, found):
                job.state, job.origin = state, queue.name
                jobs.append(job)
    return jobs


def count_jobs(redis: Redis, state: str) -> dict[str, int]:
    """Return how many jobs each queue has in this state, without expired ones."""
    counts: dict[str, Any] = {}
    for queue in open_queues(redis):
        keys = [SuiteJob.key_for(job_id) for job_id in _list_ids(queue, state)]
        counts[queue.name] = redis.exists(*keys) if keys else 0
    return counts


def _list_ids(queue: SuiteQueue, state: str) -> list[str]:
    if state == WAITING:
        return queue.get_job_ids()
    registry: Any = queue.failed_job_registry if state == FAILED else queue.started_job_registry
    return registry.get_job_ids(desc=True, cleanup=False)  # type: ignore[no-any-return]


def requeue_failed_job(job: SuiteJob) -> bool:
    """Put a failed job to the end of its queue; return False if it is no longer failed."""
    job.retries_left = 1
    job.connection.hdel(job.key, *ERROR_FIELDS)
    try:
        SuiteQueue(job.origin, connection=job.connection).failed_job_registry.requeue(job)
    except InvalidJobOperation:
        return False
    return True


def delete_from_queue(job: SuiteJob) -> bool:
    """Delete a failed or waiting job; return False if it has been taken or deleted before."""
    queue = SuiteQueue(job.origin, connection=job.connection)
    place: Any = queue.failed_job_registry if job.state == FAILED else queue
    if not place.remove(job.id):
        return False
    job.delete(remove_from_queue=False)
    return True
