"""The scheduler: it puts jobs into the queue when they are due.

RQ's own scheduler enqueues with pickle. Any number of schedulers may run: one is active while it
has a lock in Redis, which expires if it dies; the others wait. The last time of each job is in
Redis, so that it is enqueued once even if two schedulers should take themselves for the active one.
No time is planned in advance: a clock that was wrong for a while leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from redis.exceptions import LockError, RedisError
from redis.lock import Lock
from rq.cron import CronJob

from scaiwave.ids import new_id
from scaiwave.operations.jobs.error_log import log_error
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.queue.connection import map_redis_error
from scaiwave.queue.definitions import QUEUES, JobDefinition
from scaiwave.queue.heartbeats import (
    ENQUEUED_KEY,
    SCHEDULERS_KEY,
    SchedulerBeat,
    delete_stale_schedulers,
    get_redis_time,
    write_scheduler,
)
from scaiwave.queue.rq_queue import enqueue_job, open_queues

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger("scaiwave.scheduler")

SCHEDULER_LOCK_KEY = "scaiwave:scheduler:lock"
LOCK_SECONDS = 20.0
CLEANING_SECONDS = 15
BEAT_SECONDS = 2.0


@dataclass
class _Entry:
    """A scheduled job. `checked_at` is the time until which all its times have been enqueued.

    `due_at` is the last time that this scheduler has enqueued.
    """

    definition: JobDefinition
    checked_at: datetime
    due_at: datetime | None = None

    def find_next(self) -> datetime:
        """Return the first time after `checked_at` at which the job is due."""
        rule = CronJob(QUEUES[0], func_name=self.definition.function, cron=self.definition.cron)
        rule.latest_enqueue_time = self.checked_at
        return rule.get_next_enqueue_time()


class Scheduler:
    """`step` enqueues due jobs; `run` calls it until it is stopped.

    Times are in UTC: Django sets the time zone of the process. `enqueued` counts the jobs that were
    enqueued.
    """

    def __init__(
        self,
        redis: Redis,
        definitions: Sequence[JobDefinition],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{new_id().hex[-8:]}"
        self.enqueued = 0
        self._redis = redis
        self._clock = clock
        self._started_at = clock()
        self._entries = [_Entry(definition, self._started_at) for definition in definitions]
        self._lock = Lock(
            redis, SCHEDULER_LOCK_KEY, timeout=LOCK_SECONDS, blocking=False, thread_local=False
        )
        self._is_active = False
        self._next_cleaning = 0.0

    def run(self, stop: Event) -> None:
        """Raises RedisError if Redis can't be used at the start; later it is tried again."""
        self.step()
        waits = False
        while not stop.wait(BEAT_SECONDS):
            try:
                self.step()
            except RedisError as error:
                if not waits:
                    log_error(logger, "Scheduler waits for Redis", map_redis_error(error))
                waits = True
            else:
                if waits:
                    logger.warning("Redis is available again.")
                waits = False
        # Release the lock, so that another scheduler takes over at once.
        try:
            self._redis.hdel(SCHEDULERS_KEY, self.name)
            if self._is_active:
                self._lock.release()
        except (RedisError, LockError) as error:
            logger.debug("The lock of the scheduler was not released: %s", type(error).__name__)
        logger.info("Scheduler %s stopped.", self.name)

    def step(self) -> None:
        """Take or renew the lock, enqueue due jobs if this scheduler has it, and report."""
        was_active = self._is_active
        self._is_active = self._has_lock()
        now = self._clock()
        if self._is_active and not was_active:
            logger.info("Scheduler %s is active.", self.name)
            # The one that had the lock may have missed a time before its lock expired.
            for entry in self._entries:
                entry.checked_at = now - timedelta(seconds=LOCK_SECONDS + BEAT_SECONDS)
        elif was_active and not self._is_active:
            logger.warning("Scheduler %s has lost its lock, and waits.", self.name)
        if self._is_active:
            for entry in self._entries:
                entry.checked_at = min(entry.checked_at, now)  # The clock may have been set back.
                due_at = entry.find_next()
                if due_at <= now:
                    # If the host was asleep, the times that it missed count once.
                    entry.checked_at = max(due_at, now - timedelta(seconds=LOCK_SECONDS))
                    entry.due_at = due_at
                    self._enqueue(entry.definition, due_at)
            if time.monotonic() >= self._next_cleaning:
                self._next_cleaning = time.monotonic() + CLEANING_SECONDS
                self._clean_up(now)
        self._report()

    def _has_lock(self) -> bool:
        if self._is_active:
            with suppress(LockError):
                return bool(self._lock.reacquire())
        return bool(self._lock.acquire())

    def _enqueue(self, definition: JobDefinition, due_at: datetime) -> None:
        slot = int(due_at.timestamp())
        # Not whether it is later: a clock that was ahead must not hold up the times that follow.
        last = self._redis.set(ENQUEUED_KEY.format(definition.name), slot, get=True)
        if last == str(slot).encode():
            return
        job_id: str | None = f"{definition.name}-{slot}"
        if self._redis.exists(f"rq:job:{job_id}"):  # It failed before the clock was set back.
            job_id = None
        job_id = enqueue_job(self._redis, definition.function, job_id=job_id)
        self.enqueued += 1
        logger.info("Job enqueued: %s (%s).", definition.name, job_id)

    def _clean_up(self, now: datetime) -> None:
        """Find what killed workers have left, since all others may be busy for hours, and enqueue
        again what a Redis that has lost its memory should have.
        """
        SuiteWorker(open_queues(self._redis), connection=self._redis).clean_registries()  # type: ignore[no-untyped-call]
        for entry in self._entries:
            wait = timedelta(seconds=entry.definition.wait_seconds or 0)
            is_kept = self._redis.exists(ENQUEUED_KEY.format(entry.definition.name))
            if entry.due_at and now < entry.due_at + wait and not is_kept:
                self._enqueue(entry.definition, entry.due_at)

    def _report(self) -> None:
        """Leave a heartbeat, and delete the heartbeats of schedulers that are gone."""
        entries = self._entries if self._is_active else ()
        beat = SchedulerBeat(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            is_active=self._is_active,
            started_at=self._started_at,
            seen_at=get_redis_time(self._redis),
            next_runs={entry.definition.name: entry.find_next() for entry in entries},
        )
        write_scheduler(self._redis, beat)
        if self._is_active:
            delete_stale_schedulers(self._redis)
