"""Log errors of this suite in one line: the message, the code and the fix."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from scaiwave.core.errors import ScaiWaveError
from scaiwave.queue.connection import map_redis_error


def log_error(logger: logging.Logger, what: str, error: ScaiWaveError, **extra: str) -> None:
    """`extra` are further fields of a JSON log, besides `code` and `fix`."""
    fix = f" Fix: {error.fix}" if error.fix else ""
    logger.error(
        "%s: %s [%s]%s",
        what,
        error.message,
        error.code,
        fix,
        extra={"code": error.code, "fix": error.fix, **extra},
    )


class RedisWatch:
    """Logs when a process begins to wait for Redis, and when Redis is available again."""

    def __init__(self, logger: logging.Logger, process: str) -> None:
        self._logger = logger
        self._process = process
        self._is_unreachable = False

    def report(self, error: RedisError | None) -> None:
        if error is not None and not self._is_unreachable:
            log_error(self._logger, f"{self._process} waits for Redis", map_redis_error(error))
        elif error is None and self._is_unreachable:
            self._logger.warning("Redis is available again.")
        self._is_unreachable = error is not None
