"""Run the worker and the scheduler until they are stopped."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from contextlib import suppress
from threading import Event

from django.conf import settings
from django.db import Error

from scaiwave.core.operators import Operator, Permission
from scaiwave.queue.connection import PROCESS_SECONDS, open_redis
from scaiwave.queue.definitions import QUEUES
from scaiwave.queue.errors import QueueUnknown
from scaiwave.queue.jobs import JOBS
from tenants.lookup.restoration import require_activated

logger = logging.getLogger("scaiwave.worker")


def run_worker(
    *, operator: Operator, queues: Sequence[str], burst: bool, grace_seconds: float
) -> dict[str, int]:
    """Run jobs until a signal stops the process; return how many it completed, failed and so on.

    Without names it serves all queues. Raises QueueUnknown, RedisNotConfigured, and
    RedisUnreachable if Redis can't be used at the start, and ServerRestored.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    if unknown := [name for name in queues if name not in QUEUES]:
        raise QueueUnknown(
            f"Unknown queue: {unknown[0]}.",
            fix=f"Leave it out, or write one of: {', '.join(QUEUES)}.",
        )
    _require_activated()
    with open_redis(timeout=PROCESS_SECONDS) as redis:
        from scaiwave.operations.jobs.worker import SuiteWorker
        from scaiwave.queue.rq_queue import open_queues

        worker = SuiteWorker(open_queues(redis, queues or QUEUES), connection=redis)
        worker.grace_seconds = grace_seconds
        logger.info("Worker started for the queues: %s.", ", ".join(worker.queue_names()))
        with suppress(SystemExit):  # the end of the grace period
            worker.work(burst=burst, logging_level="WARNING")
        logger.info("Worker stopped.")
    return worker.counts


def _require_activated() -> None:
    """Raises ServerRestored. Without a database the process starts, and its jobs find out."""
    with suppress(Error):
        require_activated()


def run_scheduler(*, operator: Operator) -> dict[str, int]:
    """Enqueue scheduled jobs until a signal stops the process; return how many were `enqueued`.

    Raises RedisNotConfigured, RedisUnreachable if Redis can't be used at the start, and
    ServerRestored.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    _require_activated()
    stop = Event()
    definitions = [
        definition
        for definition in JOBS.values()
        if definition.cron and definition.is_scheduled(settings.CONFIG)
    ]
    with open_redis(timeout=PROCESS_SECONDS) as redis:
        from scaiwave.operations.jobs.scheduler import Scheduler

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *frame: stop.set())
        scheduler = Scheduler(redis, definitions)
        scheduler.run(stop)
    return {"enqueued": scheduler.enqueued}
