"""The connection to Redis, and its errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings

from scaiwave.queue.errors import RedisKeyMisused, RedisNotConfigured, RedisUnreachable

if TYPE_CHECKING:
    from redis import Redis

TIMEOUT_SECONDS = 2.0
"""How long a request to Redis may take while a person, a browser or a monitor waits."""
PROCESS_SECONDS = 10.0
"""The same for a worker or a scheduler; a request for the next job waits for a part of it."""
MAX_REDIS_ERROR_CHARS = 200


@contextmanager
def open_redis(*, timeout: float | None = None) -> Iterator[Redis]:
    """Connect to Redis; `timeout` is for each request, TIMEOUT_SECONDS if it is None.

    Raises RedisNotConfigured, and RedisUnreachable for any error of Redis in the block.
    """
    if not settings.REDIS_URL:
        raise RedisNotConfigured("SCAIWAVE_REDIS_URL is not set.")
    from redis import Redis, RedisError
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    timeout = timeout or TIMEOUT_SECONDS
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(ConstantBackoff(0.1), 0),
        ) as redis:
            yield redis
    except RedisError as error:
        raise map_redis_error(error) from error


def map_redis_error(error: Exception) -> RedisUnreachable:
    """Return the error of this suite. The library's message may contain the URL."""
    first_line = str(error).partition("\n")[0]
    reason = settings.CONFIG.mask_answer(first_line, MAX_REDIS_ERROR_CHARS).rstrip(".")
    reason = reason or type(error).__name__
    if isinstance(error.__context__, socket.gaierror):
        return RedisUnreachable(
            "The host name in SCAIWAVE_REDIS_URL can't be resolved.",
            fix="Check its spelling, and this host's DNS.",
        )
    kind = RedisKeyMisused if "WRONGTYPE" in str(error) else RedisUnreachable
    return kind(f"Redis can't be used: {reason}.")
