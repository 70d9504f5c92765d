"""Enqueue jobs that process ranges of a backfill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings

from rooms.errors import QueueUnavailable
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable

if TYPE_CHECKING:
    from redis import Redis

JOB = "rooms.jobs.backfill_search"
MAX_QUEUED_JOBS = 8
"""Jobs of a run in the queue at a time. Each processes one range and enqueues its successor, so
that other jobs in the queue get their turn."""


def require_queue() -> None:
    """Raises `QueueUnavailable`."""
    with _open_queue() as redis:
        redis.ping()


def enqueue_jobs(run_id: UUID, ranges: int) -> int:
    """Ensure that the queue has as many jobs of this run as are useful; return how many it has.

    Repeated calls add none, for example from cron while no worker is running.
    """
    with _open_queue() as redis:
        from scaiwave.queue.rq_queue import wake

        return wake(redis, JOB, str(run_id), jobs=min(max(ranges, 1), MAX_QUEUED_JOBS))


@contextmanager
def _open_queue() -> Iterator[Redis]:
    if not settings.REDIS_URL:
        raise QueueUnavailable("No job queue is configured: SCAIWAVE_REDIS_URL is not set.")
    try:
        with open_redis() as redis:
            yield redis
    except RedisUnreachable as error:
        fix = f"Pass --inline to do it in this process. For the queue: {error.fix}"
        raise QueueUnavailable(error.message, fix=fix) from error
