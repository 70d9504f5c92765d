"""Start the processing of stored events: in a job, or else in a separate process."""

from __future__ import annotations

import logging
import os
import subprocess

from django.conf import settings

from identity_sync.webhooks.process import PROCESS_LOCK
from scaiwave.core.locks import lock_file
from scaiwave.core.processes import start_detached
from scaiwave.queue.errors import RedisUnreachable
from tenants.lookup.restoration import find_restoration

JOB = "identity_sync.jobs.process_webhooks"


logger = logging.getLogger(__name__)


def start_processing() -> None:
    """Start a job or a process, unless one has been started already, and return at once.

    Failures are only logged: the event is stored, and the next delivery or full sync handles it.
    On a restored server it waits for the activation.
    """
    if find_restoration() is not None:
        return
    try:
        if not (settings.REDIS_URL and _enqueue()):
            _start_process()
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("Webhooks wait for the next full sync: no process can be started: %s", error)


def _enqueue() -> bool:
    """Enqueue a job unless the queue already has one; return whether Redis could be used."""
    from scaiwave.queue.connection import open_redis
    from scaiwave.queue.rq_queue import enqueue_job, is_last_waiting

    try:
        with open_redis() as redis:
            if not is_last_waiting(redis, JOB):
                enqueue_job(redis, JOB)
    except RedisUnreachable as error:
        logger.warning("Webhooks are handled without Redis: %s", error.message)
        return False
    return True


def _start_process() -> None:
    """Start a detached process unless one is running on this host."""
    descriptor = lock_file(PROCESS_LOCK)
    if descriptor is None:
        return  # The process that has it checks for events again after it has released it.
    try:
        start_detached(["process_webhooks"], lock=descriptor)
    finally:
        os.close(descriptor)
