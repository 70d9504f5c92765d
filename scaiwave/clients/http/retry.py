"""How long to wait before a retry, and when to stop."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """All in seconds.

    `total` limits one request with all its retries and pauses. `first_contact` limits the attempts
    to connect to a server that has never responded: a wrong address is reported soon, while a long
    run survives a restart of the server. Pauses are between `min_pause` and `max_pause`.
    """

    total: float = 60.0
    first_contact: float = 5.0
    min_pause: float = 0.25
    max_pause: float = 10.0

    def backoff_seconds(self, attempts: int, retry_after: float | None) -> float:
        """Return the seconds to wait after so many attempts.

        What the server asked for is the minimum. Random jitter keeps rejected clients from all
        returning at the same moment.
        """
        if retry_after is not None:
            return retry_after + random.uniform(0, min(1.0, self.min_pause + retry_after / 10))  # noqa: S311 - spreads load
        ceiling = min(self.max_pause, self.min_pause * 2.0 ** min(attempts, 30))
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads load


INTERACTIVE_RETRIES = RetryPolicy(total=4.0, first_contact=2.0)
"""For requests in a web server, where a person waits and each waiting takes a thread."""


def parse_retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds of a Retry-After header, which has seconds or an HTTP date; else None."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    if (moment := parse_http_date(text)) is None:
        return None
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return float(max(0, math.ceil(seconds)))


def parse_http_date(header: str | None) -> datetime | None:
    """Parse a date of an HTTP header. Returns an aware time, or None if it is not a date."""
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
