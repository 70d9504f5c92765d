"""Retry policies that do not depend on how busy the host is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scaiwave.clients.http.retry import RetryPolicy


@dataclass(frozen=True, kw_only=True)
class CountedRetries(RetryPolicy):
    """Stops after `max_attempts`, however long they take, or if it would have to wait a second."""

    max_attempts: int = 4
    total: float = 600.0
    first_contact: float = 600.0
    min_pause: float = 0.01
    max_pause: float = 0.05

    def backoff_seconds(self, attempts: int, retry_after: float | None) -> float:
        if attempts >= self.max_attempts or (retry_after or 0) >= 1:
            return math.inf
        return super().backoff_seconds(attempts, retry_after)


QUICK = CountedRetries()
ONE_RETRY = CountedRetries(max_attempts=2)
NO_RETRIES = CountedRetries(max_attempts=1)
