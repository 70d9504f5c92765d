"""The routing table of the sandbox, and the log of the requests by route."""

from __future__ import annotations

import functools
import re
import threading
from collections import Counter, deque
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import NamedTuple

from scaiwave.sandbox.http.messages import Response

Handler = Callable[..., Response]
"""It takes the sandbox and the request."""


class Route(NamedTuple):
    template: str
    pattern: re.Pattern[str]
    handlers: dict[str, Handler]


ROUTES: dict[str, Route] = {}
MAX_RECENT = 1000


def route(methods: str, *templates: str) -> Callable[[Handler], Handler]:
    """Register a handler for methods such as "GET POST".

    `{name}` in a template is one path segment, `{name:path}` several.
    """

    def register(handler: Handler) -> Handler:
        for template in templates:
            escaped = re.sub(r"\\{(\w+):path\\}", r"(?P<\1>.+)", re.escape(template))
            pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", escaped))
            entry = ROUTES.setdefault(template, Route(template, pattern, {}))
            entry.handlers.update(dict.fromkeys(methods.split(), handler))
        return handler

    return register


@functools.lru_cache(maxsize=4096)
def find_route(path: str) -> tuple[Route, dict[str, str]] | None:
    for entry in ROUTES.values():
        match = entry.pattern.fullmatch(path)
        if match:
            return entry, match.groupdict()
    return None


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
