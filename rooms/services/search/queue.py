"""Enqueue jobs that process ranges of a backfill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings

from rooms.errors import QueueUnavailable
from scaiwave.ids import new_id

if TYPE_CHECKING:
    from rq import Queue

JOB = "rooms.jobs.backfill_search"
QUEUE = "default"
MAX_QUEUED_JOBS = 8
"""Jobs of a run in the queue at a time. Each processes one range and enqueues its successor, so
that other jobs in the queue get their turn."""
_JOB_TIMEOUT_SECONDS = 3600
_REDIS_TIMEOUT_SECONDS = 3.0


def require_queue() -> None:
    """Raises `QueueUnavailable`."""
    with _open_queue() as queue:
        queue.connection.ping()


def enqueue_jobs(run_id: UUID, ranges: int) -> int:
    """Ensure that the queue has as many jobs of this run as are useful; return how many it has.

    Repeated calls add none, for example from cron while no worker is running.
    """
    prefix = f"search-{run_id.hex}-"
    jobs = min(max(ranges, 1), MAX_QUEUED_JOBS)
    with _open_queue() as queue:
        queued = sum(job_id.startswith(prefix) for job_id in queue.get_job_ids())
        for _ in range(jobs - queued):
            queue.enqueue(
                JOB, str(run_id), job_id=prefix + new_id().hex, job_timeout=_JOB_TIMEOUT_SECONDS
            )
    return max(jobs, queued)


@contextmanager
def _open_queue() -> Iterator[Queue]:
    if not settings.REDIS_URL:
        raise QueueUnavailable("No job queue is configured: SCAIWAVE_REDIS_URL is not set.")
    from redis import Redis, RedisError
    from rq import Queue

    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
        ) as redis:
            yield Queue(QUEUE, connection=redis)
    except RedisError as error:
        # The URL may contain a password, and so may the library's message.
        raise QueueUnavailable(
            f"Can't use the Redis server of SCAIWAVE_REDIS_URL: {type(error).__name__}."
        ) from None
