"""How long to wait before the next try, and when to give up."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from scaiwave.clients.dates import parse_http_date


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """All in seconds.

    `total` bounds one request with all its tries and the pauses between them. `first_contact`
    bounds the tries to connect to a server that has never answered us: a wrong address should
    be told soon, a restart in the middle of a long run should be waited out.
    """

    total: float = 60.0
    first_contact: float = 5.0
    shortest: float = 0.25
    longest: float = 10.0

    def pause(self, tries: int, asked: float | None) -> float:
        """Seconds to wait after the try with number `tries`, jittered.

        What the server asked for is a lower bound. Jitter on top of it keeps all the clients
        that were turned away from coming back in the same instant.
        """
        if asked is not None:
            return asked + random.uniform(0, min(1.0, self.shortest + asked / 10))  # noqa: S311 - spreads load
        ceiling = min(self.longest, self.shortest * 2.0 ** min(tries, 30))
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads load


def retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or an HTTP date; else None."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    if (moment := parse_http_date(text)) is None:
        return None
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return float(max(0, math.ceil(seconds)))
