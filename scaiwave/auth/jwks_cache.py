"""ScaiKey's public keys, kept for some minutes by a process that verifies many tokens.

Keys are rotated and revoked, so they are not kept long; a token whose key is not among them has
them fetched again, but not every such token does: anybody can make up the id of a key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaiwave.errors import ScaiWaveError

Jwks = Mapping[str, Any]
FetchBySlug = Callable[[str | None], Jwks]
"""The keys of the tenant with this slug, or of the platform for None."""

KEPT = 300.0
"""Seconds after which keys are fetched again."""

REFETCHED = 60.0
"""Seconds before keys are fetched again for a token whose key is not among them."""

FAILED = 5.0
"""Seconds in which a ScaiKey that gave no keys is not asked again."""


@dataclass
class _Answer:
    """What was last answered to one question: `keys` at `kept_at`, and `error` at `failed_at` if
    there were none the last time."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: Jwks | None = None
    kept_at: float = 0.0
    error: ScaiWaveError | None = None
    failed_at: float = 0.0


class JwksCache:
    """Threads may share it: of those that need the same keys at once one fetches, and the others
    wait for its answer, whatever that is."""

    def __init__(self, fetch: FetchBySlug, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._answers: dict[str | None, _Answer] = {}

    def for_one_token(
        self, slug_of: Callable[[str | None], str | None]
    ) -> Callable[[str | None], Jwks]:
        """What `verify_token` takes. It asks a second time when the token's key is not there."""
        oldest = KEPT

        def fetch(tenant_id: str | None) -> Jwks:
            nonlocal oldest
            keys = self._keys(slug_of(tenant_id), oldest)
            oldest = REFETCHED
            return keys

        return fetch

    def _keys(self, slug: str | None, oldest: float) -> Jwks:
        answer = self._answers.setdefault(slug, _Answer())
        with answer.lock:
            now = self._clock()
            if answer.keys is not None and now - answer.kept_at < oldest:
                return answer.keys
            if answer.error is not None and now - answer.failed_at < FAILED:
                raise answer.error
            return self._ask(slug, answer)

    def _ask(self, slug: str | None, answer: _Answer) -> Jwks:
        """A failure leaves the keys to those for whom they are young enough: else whoever makes up
        the id of a key could take them from everybody while ScaiKey is down."""
        try:
            keys = self._fetch(slug)
        except ScaiWaveError as error:
            answer.error, answer.failed_at = error, self._clock()
            raise
        answer.keys, answer.kept_at, answer.error = keys, self._clock(), None
        return keys
