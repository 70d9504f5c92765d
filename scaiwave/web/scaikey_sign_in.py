"""Whether and where people sign in to the admin site with ScaiKey."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from scaiwave.config import Configuration
from scaiwave.errors import SettingInvalid

if TYPE_CHECKING:  # Settings import this module, also for commands.
    from scaiwave.clients.scaikey.sign_in import SignInEndpoints

CALLBACK_PATH = "/oidc/callback/"
CREDENTIALS = (
    "SCAIWAVE_SCAIKEY_URL",
    "SCAIWAVE_SCAIKEY_CLIENT_ID",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET",
)
MAX_AGE_SECONDS = 300.0
"""After this, the discovery document is fetched again."""


def build_redirect_uri(config: Configuration) -> str:
    """Return where ScaiKey sends a browser back to after a sign-in."""
    return config.get_url("SCAIWAVE_PUBLIC_URL") + CALLBACK_PATH


def is_sign_in_registered(config: Configuration) -> bool:
    """Whether this server has the credentials of an application that signs people in to it.

    Credentials that can't be read are none: whatever needs them reports that.
    """
    try:
        if not all(config.get_str(name) for name in CREDENTIALS):
            return False
        return config.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI") == build_redirect_uri(config)
    except SettingInvalid:
        return False


def get_platform_issuer(config: Configuration) -> str:
    """Return the issuer of the platform's tokens, also if the configured one is a tenant's."""
    issuer = config.get_url("SCAIWAVE_SCAIKEY_ISSUER") or config.get_url("SCAIWAVE_SCAIKEY_URL")
    return issuer.partition("/tenants/")[0]


class EndpointCache:
    """Fetches ScaiKey's endpoints for all threads of a process, and again after some minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetched: dict[tuple[str, str], tuple[float, SignInEndpoints]] = {}

    def get(self, config: Configuration) -> SignInEndpoints:
        """Raises what `fetch_sign_in_endpoints` raises."""
        from scaiwave.clients.http.retry import RetryPolicy
        from scaiwave.clients.scaikey.sign_in import fetch_sign_in_endpoints

        key = config.get_url("SCAIWAVE_SCAIKEY_URL"), get_platform_issuer(config)
        with self._lock:
            fetched_at, endpoints = self._fetched.get(key, (0.0, None))
            if endpoints is None or time.monotonic() - fetched_at > MAX_AGE_SECONDS:
                # Short, since a person waits for it.
                policy = RetryPolicy(total=5.0, first_contact=2.0)
                endpoints = fetch_sign_in_endpoints(*key, retry_policy=policy)
                self._fetched[key] = time.monotonic(), endpoints
            return endpoints

    def clear(self) -> None:
        self._fetched.clear()


endpoint_cache = EndpointCache()
