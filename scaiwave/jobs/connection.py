"""The connection to Redis, and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings

from scaiwave.jobs.errors import RedisNotConfigured, RedisUnreachable

if TYPE_CHECKING:
    from redis import Redis

TIMEOUT_SECONDS = 3.0


@contextmanager
def open_redis(*, timeout: float = TIMEOUT_SECONDS, retries: int = 0) -> Iterator[Redis]:
    """Connect to Redis; `timeout` is for each request, in seconds.

    Raises RedisNotConfigured, and RedisUnreachable for any error of Redis in the block.
    """
    if not settings.REDIS_URL:
        raise RedisNotConfigured("SCAIWAVE_REDIS_URL is not set.")
    from redis import Redis, RedisError
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(ConstantBackoff(0.1), retries),
        ) as redis:
            yield redis
    except RedisError as error:
        raise map_redis_error(error) from error


def map_redis_error(error: Exception) -> RedisUnreachable:
    """Return the error of this suite. The library's message may contain the URL."""
    reason = settings.CONFIG.mask_secrets(str(error).partition("\n")[0]).rstrip(".")
    return RedisUnreachable(f"Redis can't be used: {reason or type(error).__name__}.")
