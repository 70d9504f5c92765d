"""Hands parts of a backfill to the workers."""

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
MOST_JOBS = 8
"""Jobs of a run that are in the queue at once, each for one range and then followed by another:
whoever else waits there gets their turn."""
_TIMEOUT = 3600
_PATIENCE = 3.0


def require_queue() -> None:
    """Raises `QueueUnavailable`."""
    with _queue() as queue:
        queue.connection.ping()


def enqueue(run_id: UUID, ranges: int) -> int:
    """See to it that as many jobs of this run wait in the queue as can be of use; returns how many
    do then. Whoever asks again and again, as cron does while no worker is up, adds none."""
    ours = f"search-{run_id.hex}-"
    jobs = min(max(ranges, 1), MOST_JOBS)
    with _queue() as queue:
        waiting = sum(name.startswith(ours) for name in queue.get_job_ids())
        for _ in range(jobs - waiting):
            name = ours + new_id().hex
            queue.enqueue(JOB, str(run_id), job_id=name, job_timeout=_TIMEOUT)
    return max(jobs, waiting)


@contextmanager
def _queue() -> Iterator[Queue]:
    if not settings.REDIS_URL:
        raise QueueUnavailable("There is no queue: SCAIWAVE_REDIS_URL is not set.")
    from redis import Redis, RedisError
    from rq import Queue

    try:
        with Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE
        ) as redis:
            yield Queue(QUEUE, connection=redis)
    except RedisError as error:
        # The address may hold a password, and so may what the library says of it.
        raise QueueUnavailable(
            f"The Redis of SCAIWAVE_REDIS_URL can't be used ({type(error).__name__})."
        ) from None
