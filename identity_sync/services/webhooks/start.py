"""Start the processing of stored events: in a job, or else in a separate process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

from django.conf import settings

from identity_sync.services.webhooks.process import PROCESS_LOCK
from scaiwave.ids import new_id
from scaiwave.locks import lock_file

JOB = "identity_sync.jobs.process_webhooks"
QUEUE = "default"
COMMAND = ("-m", "scaiwave.cli", "manage", "process_webhooks")

_JOB_PREFIX = "webhooks-"
_JOB_TIMEOUT_SECONDS = 3600
_REDIS_TIMEOUT_SECONDS = 2.0

logger = logging.getLogger(__name__)


def start_processing() -> None:
    """Start a job or a process, unless one has been started already, and return at once.

    Failures are only logged: the event is stored, and the next delivery or full sync handles it.
    """
    try:
        if not (settings.REDIS_URL and _enqueue()):
            _start_process()
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("Webhooks wait for the next full sync: no process can be started: %s", error)


def _enqueue() -> bool:
    """Enqueue a job unless the queue already has one; return whether Redis could be used."""
    from redis import Redis, RedisError
    from rq import Queue

    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
        ) as redis:
            queue = Queue(QUEUE, connection=redis)
            if not any(job_id.startswith(_JOB_PREFIX) for job_id in queue.get_job_ids()):
                queue.enqueue(
                    JOB,
                    job_id=_JOB_PREFIX + new_id().hex,
                    job_timeout=_JOB_TIMEOUT_SECONDS,
                    result_ttl=0,
                )
    except RedisError as error:
        # The URL may contain a password, and so may the library's message.
        logger.warning("Webhooks are handled without Redis: %s.", type(error).__name__)
        return False
    return True


def _start_process() -> None:
    """Start a detached process unless one is running on this host.

    It inherits the locked file, so that no second process is started while it starts. It is not a
    child of the web worker, so it outlives that worker and leaves no zombie.
    """
    descriptor = lock_file(PROCESS_LOCK)
    if descriptor is None:
        return  # The process that has it checks for events again after it has released it.
    try:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, *COMMAND, f"--lock={descriptor}"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
