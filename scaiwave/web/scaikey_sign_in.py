"""Whether and where people sign in to the admin site with ScaiKey."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError, SettingInvalid, UpstreamUnreachable

if TYPE_CHECKING:  # Settings import this module for commands too.
    from scaiwave.clients.scaikey.sign_in import SignInEndpoints

CALLBACK_PATH = "/oidc/callback/"
CREDENTIALS = (
    "SCAIWAVE_SCAIKEY_URL",
    "SCAIWAVE_SCAIKEY_CLIENT_ID",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET",
)
MAX_AGE_SECONDS = 300.0
"""After this, the discovery document is fetched again."""
LIVE_SECONDS = 10.0
"""For this long an answer shows that ScaiKey can be reached, before a browser is sent there."""
FAILURE_SECONDS = 15.0
"""For this long a failure is repeated without another request."""

logger = logging.getLogger(__name__)


def build_redirect_uri(config: Configuration) -> str:
    """Return where ScaiKey sends a browser back to after a sign-in."""
    return config.get_url("SCAIWAVE_PUBLIC_URL") + CALLBACK_PATH


def is_sign_in_registered(config: Configuration) -> bool:
    """Return whether this server has the credentials of an application for its own sign-in.

    An application for syncs only lacks this redirect URI. Credentials that can't be read
    (SettingInvalid) count as missing: the command or page that needs them reports the error.
    """
    try:
        if not all(config.get_str(name) for name in CREDENTIALS):
            return False
        return config.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI") == build_redirect_uri(config)
    except SettingInvalid:
        return False


def get_platform_issuer(config: Configuration) -> str:
    """Return the issuer of the platform's tokens, even if the configured one is a tenant's."""
    issuer = config.get_url("SCAIWAVE_SCAIKEY_ISSUER") or config.get_url("SCAIWAVE_SCAIKEY_URL")
    return issuer.partition("/tenants/")[0]


class RecentFailure:
    """An error that is raised again for some seconds, instead of another request.

    Anyone can begin a sign-in, and each request to a server that does not answer takes a thread.
    Threads share it without a lock: at worst one of them sends a request too many.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._error: ScaiWaveError | None = None
        self._failed_at = 0.0

    def get(self) -> ScaiWaveError | None:
        """Return the error, as long as it counts."""
        if self._error is None or self._clock() - self._failed_at >= FAILURE_SECONDS:
            return None
        # Each raise of the same error would add to its traceback.
        return self._error.with_traceback(None)

    def remember(self, error: ScaiWaveError) -> None:
        self._error, self._failed_at = error, self._clock()

    def clear(self) -> None:
        self._error = None


class _CacheEntry:
    """The last endpoints of one server, from `fetched_at`. The thread that fetches has `lock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = threading.Lock()
        self.endpoints: SignInEndpoints | None = None
        self.fetched_at = 0.0
        self.failure = RecentFailure(clock=clock)


class EndpointCache:
    """Fetches ScaiKey's endpoints for all threads of a process, and again after some minutes.

    One thread fetches. The others use the endpoints fetched before, or fail at once: none waits for
    another. Endpoints remain in use if a renewal fails.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[tuple[str, str], _CacheEntry] = {}

    def get(self, config: Configuration, *, is_live: bool = False) -> SignInEndpoints:
        """With `is_live`, former endpoints don't count while ScaiKey does not answer.

        Raises what `fetch_sign_in_endpoints` raises, and UpstreamUnreachable.
        """
        key = config.get_url("SCAIWAVE_SCAIKEY_URL"), get_platform_issuer(config)
        entry = self._entries.setdefault(key, _CacheEntry(self._clock))
        max_age = LIVE_SECONDS if is_live else MAX_AGE_SECONDS
        if not self._is_fresh(entry, max_age) and entry.lock.acquire(blocking=False):
            try:
                self._renew(key, entry, max_age)
            finally:
                entry.lock.release()
        if entry.endpoints is not None and not (is_live and entry.failure.get()):
            return entry.endpoints
        raise entry.failure.get() or UpstreamUnreachable(
            "ScaiKey has not answered yet.", fix="Try again in some seconds."
        )

    def clear(self) -> None:
        self._entries.clear()

    def _is_fresh(self, entry: _CacheEntry, max_age: float) -> bool:
        age = self._clock() - entry.fetched_at
        return entry.endpoints is not None and age <= max_age

    def _renew(self, key: tuple[str, str], entry: _CacheEntry, max_age: float) -> None:
        """Fetch the endpoints, unless another thread just has, or has failed to."""
        from scaiwave.clients.http.exceptions import INTERACTIVE_TIMEOUTS
        from scaiwave.clients.scaikey.sign_in import fetch_sign_in_endpoints

        if self._is_fresh(entry, max_age) or entry.failure.get() is not None:
            return
        try:
            endpoints = fetch_sign_in_endpoints(*key, timeouts=INTERACTIVE_TIMEOUTS)
        except ScaiWaveError as error:
            logger.warning("The endpoints of ScaiKey can't be fetched: %s", error.message)
            entry.failure.remember(error)
        else:
            entry.endpoints, entry.fetched_at = endpoints, self._clock()
            entry.failure.clear()


endpoint_cache = EndpointCache()
token_failure = RecentFailure()
"""The last request for the tokens of a sign-in that got no answer, of this process."""
