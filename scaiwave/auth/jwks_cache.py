"""A cache of ScaiKey's public keys, for processes that verify many tokens.

Keys are rotated and revoked, so they are cached for minutes only. A token with an unknown key has
them fetched again, but at a limited rate: anyone can send a token with an invented key id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaiwave.errors import ScaiWaveError, UpstreamUnreachable

Jwks = Mapping[str, Any]
FetchBySlug = Callable[[str | None], Jwks]
"""Fetches the keys of the tenant with this slug, or of the platform for None."""

MAX_AGE_SECONDS = 300.0
"""After this, keys are fetched again."""

MAX_AGE_UNKNOWN_KEY_SECONDS = 60.0
"""After this, keys are fetched again for a token whose key is not among them."""

FAILURE_SECONDS = 15.0
"""For this long a failure is repeated without another request."""

MAX_OVERLAP_SECONDS = 15.0
"""For so much longer, keys are used while another thread fetches new ones."""

MAX_WAIT_SECONDS = 1.0
"""How long a thread waits for another one that fetches the keys."""


@dataclass
class _CacheEntry:
    """The last keys of one slug, from `fetched_at`, and the error of the last request, if it
    failed."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: Jwks | None = None
    fetched_at: float = 0.0
    error: ScaiWaveError | None = None
    failed_at: float = 0.0


class JwksCache:
    """Threads may share it: if several need the same keys, one fetches them. The others use the
    previous keys, or else wait for the result, but not for long: anyone can cause a fetch, and a
    ScaiKey that does not answer must not stop the whole web server."""

    def __init__(
        self,
        fetch: FetchBySlug,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_wait: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._max_wait = max_wait
        self._fetch = fetch
        self._clock = clock
        self._entries: dict[str | None, _CacheEntry] = {}

    def fetcher(self, get_slug: Callable[[str | None], str | None]) -> Callable[[str | None], Jwks]:
        """Return the `fetch_jwks` for one call of `verify_token`.

        Its second call, which means that the token's key is unknown, accepts only newer keys.
        """
        max_age = MAX_AGE_SECONDS

        def fetch(tenant_id: str | None) -> Jwks:
            nonlocal max_age
            keys = self._get_keys(get_slug(tenant_id), max_age)
            max_age = MAX_AGE_UNKNOWN_KEY_SECONDS
            return keys

        return fetch

    def _get_keys(self, slug: str | None, max_age: float) -> Jwks:
        entry = self._entries.setdefault(slug, _CacheEntry())
        if keys := self._find_keys(entry, max_age):
            return keys
        if not entry.lock.acquire(blocking=False):
            if max_age == MAX_AGE_SECONDS and (
                keys := self._find_keys(entry, max_age + MAX_OVERLAP_SECONDS)
            ):
                return keys
            if not entry.lock.acquire(timeout=self._max_wait):
                raise UpstreamUnreachable(
                    "ScaiKey has not sent its keys yet.", fix="Try again in some seconds."
                )
        try:
            if keys := self._find_keys(entry, max_age):
                return keys
            if entry.error is not None and self._clock() - entry.failed_at < FAILURE_SECONDS:
                raise entry.error.with_traceback(None)
            return self._refresh(slug, entry)
        finally:
            entry.lock.release()

    def _find_keys(self, entry: _CacheEntry, max_age: float) -> Jwks | None:
        is_fresh = self._clock() - entry.fetched_at < max_age
        return entry.keys if is_fresh else None

    def _refresh(self, slug: str | None, entry: _CacheEntry) -> Jwks:
        """Fetch the keys. A failure keeps those that are cached.

        Otherwise a caller with an invented key id could drop them for all while ScaiKey is down.
        """
        try:
            keys = self._fetch(slug)
        except ScaiWaveError as error:
            entry.error, entry.failed_at = error, self._clock()
            raise
        entry.keys, entry.fetched_at, entry.error = keys, self._clock(), None
        return keys
