"""What was asked of the sandbox, for tests that count."""

from __future__ import annotations

import threading
from collections import Counter, deque
from fnmatch import fnmatchcase

RECENT = 1000


class Requests:
    """Counts by route template, such as `GET /api/v1/admin/users/{user_id}`.

    Requests to `/sandbox/` don't count. `recent` holds the last thousand as (method and path
    with query, status; 0 for a dropped connection); `peak` is how many were in hand at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self.by_route: Counter[str] = Counter()
            self.recent: deque[tuple[str, int]] = deque(maxlen=RECENT)
            self.peak = 0
            self._in_hand = 0

    @property
    def total(self) -> int:
        return self.by_route.total()

    def count(self, pattern: str) -> int:
        """How many came in on templates that match a shell pattern, whatever the method."""
        with self._lock:
            return sum(
                count
                for name, count in self.by_route.items()
                if fnmatchcase(name.partition(" ")[2], pattern)
            )

    def begin(self, name: str) -> None:
        with self._lock:
            self.by_route[name] += 1
            self._in_hand += 1
            self.peak = max(self.peak, self._in_hand)

    def end(self, target: str, status: int) -> None:
        with self._lock:
            self._in_hand -= 1
            self.recent.append((target, status))
