"""Start work in the background: a job if Redis can be used, else a process of its own."""

from __future__ import annotations

import logging
import os

from django.conf import settings

from scaiwave.core.locks import lock_file
from scaiwave.core.processes import start_detached
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.queue.jobs import JOBS

logger = logging.getLogger(__name__)


def launch(function: str, *arguments: str) -> None:
    """Start a function of the table, unless it waits already for these arguments.

    Raises OSError or SubprocessError if a process can't be started.
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
            return
    name = "-".join((definition.name, *arguments)).replace("_", "-")
    if (descriptor := lock_file(name)) is None:
        return  # Its process looks for work again before it ends.
    try:
        start_detached(build_command(function, *arguments), lock=descriptor)
    finally:
        os.close(descriptor)


def build_command(function: str, *arguments: str) -> list[str]:
    """Return the management command that runs a function of the table without Redis."""
    process = JOBS[function].process
    return [process] if process else ["run_job", function, *arguments]
