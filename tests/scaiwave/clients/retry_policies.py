"""Retry policies that do not depend on how busy the host is."""

from __future__ import annotations

import math

from scaiwave.clients.http.retry import RetryPolicy


class RetryOnce(RetryPolicy):
    """Stops after two attempts, however long they take."""

    def backoff_seconds(self, attempts: int, retry_after: float | None) -> float:
        return self.min_pause if attempts == 1 else math.inf
