"""The state of the sandbox's ScaiGrid."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from scaiwave.sandbox.data.ids import derive_key, scramble

PERMISSIONS = ("models:list", "models:use", "accounting:view_tenant", "accounting:view_partner")


RATE_WINDOW_SECONDS = 60.0
"""How long calls are counted against the rate limit."""


@dataclass(kw_only=True)
class ScaiGrid:
    """Settings that may be changed while the sandbox runs; limits are calls a minute."""

    seed: int
    permissions: set[str] = field(default_factory=lambda: set(PERMISSIONS))
    key_limit: int = 60
    user_limit: int = 120

    def __post_init__(self) -> None:
        self.api_key = (
            f"sgk_{derive_key(self.seed, 'scaigrid'):016x}{derive_key(self.seed, 'key'):016x}"
        )
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._window_ends: dict[str, float] = {}
        self._requests = 0

    def create_request_id(self) -> str:
        with self._lock:
            self._requests += 1
            return f"req_{scramble(self._requests ^ derive_key(self.seed, 'requests')):016x}"

    def count_call(self, credential: str) -> tuple[int, float]:
        """Count a call; return the calls in the credential's window and its seconds left."""
        now = time.monotonic()
        with self._lock:
            if now >= self._window_ends.get(credential, 0.0):
                self._calls[credential] = 0
                self._window_ends[credential] = now + RATE_WINDOW_SECONDS
            self._calls[credential] += 1
            return self._calls[credential], self._window_ends[credential] - now
