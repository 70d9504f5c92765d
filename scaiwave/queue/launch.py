"""Start work in the background: a job if Redis can be used, else a process of its own."""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from django.conf import settings

from scaiwave.core.locks import lock_file
from scaiwave.core.processes import start_detached
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.queue.jobs import JOBS

logger = logging.getLogger(__name__)


def launch(function: str, *arguments: str) -> bool:
    """Start a function of the table, unless it waits already for these arguments.

    Return whether it is up to workers. Raises OSError or SubprocessError if no process can be
    started, also while one with other arguments runs that may be the only one.
    """
    definition = JOBS[function]
    if settings.REDIS_URL:
        from scaiwave.queue.rq_queue import wake

        try:
            with open_redis() as redis:
                wake(redis, function, *arguments)
        except RedisUnreachable as error:
            logger.warning("%s is started without Redis: %s", definition.name, error.message)
        else:
            return True
    if (descriptor := lock_file(name_process(function, *arguments))) is None:
        if definition.is_single:
            raise BlockingIOError(f"{definition.name} is running")
        return False  # Its process looks for work again before it ends.
    try:
        start_detached(build_command(function, *arguments), lock=descriptor)
    finally:
        os.close(descriptor)
    return False


def is_waiting(function: str) -> bool:
    """Whether a job of this function waits for a worker; False if Redis can't be used."""
    if not settings.REDIS_URL:
        return False
    from scaiwave.queue.rq_queue import count_waiting

    with suppress(RedisUnreachable), open_redis() as redis:
        return count_waiting(redis, function) > 0
    return False


def name_process(function: str, *arguments: str) -> str:
    """Return the name of the file that is locked while its process runs on this host."""
    definition = JOBS[function]
    words = [definition.name] if definition.is_single else [definition.name, *arguments]
    return "-".join(words).replace("_", "-")


def build_command(function: str, *arguments: str) -> list[str]:
    """Return the management command that runs a function of the table without Redis."""
    process = JOBS[function].process
    return [process] if process else ["run_job", function, *arguments]
