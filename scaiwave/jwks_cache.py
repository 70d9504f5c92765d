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
    """The last answer to one question; `error` where there were no keys, None before the first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float = 0.0
    keys: Jwks | None = None
    error: ScaiWaveError | None = None


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
            age = self._clock() - answer.at
            if answer.keys is not None and age < oldest:
                return answer.keys
            if answer.error is not None and age < FAILED:
                raise answer.error
            return self._ask(slug, answer)

    def _ask(self, slug: str | None, answer: _Answer) -> Jwks:
        answer.keys = answer.error = None
        try:
            answer.keys = self._fetch(slug)
        except ScaiWaveError as error:
            answer.error = error
            raise
        finally:
            answer.at = self._clock()
        return answer.keys
