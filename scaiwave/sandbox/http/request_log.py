"""A log of the sandbox's requests, for tests that count them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from fnmatch import fnmatchcase

MAX_RECENT = 1000


class RequestLog:
    """Count requests by route template, such as `GET /api/v1/admin/users/{user_id}`.

    Requests to `/sandbox/` are not counted. `recent` holds the last thousand as (method and path
    with query, status; 0 for a dropped connection); `peak` is the maximum number of concurrent
    requests.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self.by_route: Counter[str] = Counter()
            self.recent: deque[tuple[str, int]] = deque(maxlen=MAX_RECENT)
            self.peak = 0
            self._in_progress = 0

    @property
    def total(self) -> int:
        return self.by_route.total()

    def count(self, pattern: str) -> int:
        """Return the number of requests, with any method, to templates matching a shell pattern."""
        with self._lock:
            return sum(
                count
                for name, count in self.by_route.items()
                if fnmatchcase(name.partition(" ")[2], pattern)
            )

    def begin(self, name: str) -> None:
        with self._lock:
            self.by_route[name] += 1
            self._in_progress += 1
            self.peak = max(self.peak, self._in_progress)

    def end(self, target: str, status: int) -> None:
        with self._lock:
            self._in_progress -= 1
            self.recent.append((target, status))
