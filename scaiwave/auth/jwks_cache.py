"""A cache of ScaiKey's public keys, for processes that verify many tokens.

Keys are rotated and revoked, so they are cached for minutes only. A token with an unknown key has
them fetched again at once, but at a limited rate: anyone can send one with an invented key id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaiwave.core.errors import ScaiWaveError, UpstreamUnreachable

Jwks = Mapping[str, Any]
FetchBySlug = Callable[[str | None], Jwks]
"""Fetches the keys of the tenant with this slug, or of the platform for None."""

MAX_AGE_SECONDS = 300.0
"""After this, keys are fetched again."""

UNKNOWN_KEY_SECONDS = 60.0
"""For this long, no keys are fetched again for the sake of another token with an unknown key."""

FAILURE_SECONDS = 15.0
"""For this long a failure is repeated without another request."""

MAX_OVERLAP_SECONDS = 15.0
"""For so much longer, keys are used while another thread fetches new ones."""

MAX_WAIT_SECONDS = 1.0
"""How long a thread waits for another one that fetches the keys."""


@dataclass
class _CacheEntry:
    """The last keys of one slug, from `fetched_at`, and the error of the last request, if it
    failed. `searched_at` is when they were last fetched for an unknown key."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: Jwks | None = None
    fetched_at: float = 0.0
    searched_at: float | None = None
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
        # By slug. Only tenants of this server have one, so an invented token adds no entry.
        self._entries: dict[str | None, _CacheEntry] = {}

    def fetcher(self, get_slug: Callable[[str | None], str | None]) -> Callable[[str | None], Jwks]:
        """Return the `fetch_jwks` for one call of `verify_token`. Use it for one token only.

        `get_slug` returns the slug of a tenant with this ID in ScaiKey, and None for None. The
        second call means that the token's key is unknown. It accepts keys that were fetched after
        the first call, or if there was a search for another unknown key just now.
        """
        began: float | None = None

        def fetch(tenant_id: str | None) -> Jwks:
            nonlocal began
            since, began = began, self._clock()
            return self._get_keys(get_slug(tenant_id), since)

        return fetch

    def _get_keys(self, slug: str | None, since: float | None) -> Jwks:
        """Return keys that are fresh; for an unknown key, `since` is when it was first searched.

        Raises UpstreamUnreachable after waiting for another thread, and what `fetch` raises.
        """
        entry = self._entries.setdefault(slug, _CacheEntry())
        if keys := self._find_keys(entry, since):
            return keys
        if not entry.lock.acquire(blocking=False):
            if since is None and (keys := self._find_keys(entry, since, MAX_OVERLAP_SECONDS)):
                return keys
            if not entry.lock.acquire(timeout=self._max_wait):
                raise UpstreamUnreachable(
                    "ScaiKey has not sent its keys yet.", fix="Try again in some seconds."
                )
        try:
            if keys := self._find_keys(entry, since):
                return keys
            if entry.error is not None and self._clock() - entry.failed_at < FAILURE_SECONDS:
                # Each raise of the same error would add to its traceback.
                raise entry.error.with_traceback(None)
            # The cached keys stay after a failure. Otherwise a caller with an invented key ID
            # could drop them for all while ScaiKey is down.
            try:
                keys = self._fetch(slug)
            except ScaiWaveError as error:
                entry.error, entry.failed_at = error, self._clock()
                raise
            entry.keys, entry.fetched_at, entry.error = keys, self._clock(), None
            if since is not None:
                entry.searched_at = entry.fetched_at
            return keys
        finally:
            entry.lock.release()

    def _find_keys(
        self, entry: _CacheEntry, since: float | None, overlap: float = 0.0
    ) -> Jwks | None:
        if since is None:
            is_fresh = self._clock() - entry.fetched_at < MAX_AGE_SECONDS + overlap
        else:
            searched = entry.searched_at
            is_fresh = entry.fetched_at >= since or (
                searched is not None and self._clock() - searched < UNKNOWN_KEY_SECONDS
            )
        return entry.keys if is_fresh else None
