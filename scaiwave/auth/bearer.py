"""Authentication of the HTTP API: the claims of a ScaiKey token, and the caller's address."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

from scaiwave.auth.identify import fetch_scaikey_jwks, get_tenant_slug, verify_scaikey_token
from scaiwave.auth.jwks_cache import Jwks, JwksCache
from scaiwave.auth.tokens import Claims
from scaiwave.clients.http.retry import INTERACTIVE_RETRIES
from scaiwave.core.errors import TokenRequired


def authenticate_bearer(request: HttpRequest) -> Claims:
    """Return the claims of the caller's token.

    Raises TokenRequired, and what `verify_scaikey_token` raises.
    """
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRequired("The request has no bearer token.")
    return verify_scaikey_token(settings.CONFIG, token.strip(), fetch_jwks=build_jwks_fetcher())


def build_jwks_fetcher() -> Callable[[str | None], Jwks]:
    """Return what fetches ScaiKey's keys for one token, from the cache of this process."""
    return _jwks_cache.fetcher(get_tenant_slug)


def get_client_address(request: HttpRequest) -> str:
    """Return the peer's address, or that which a proxy on this host forwards for.

    A proxy appends the address it sees, so only the last one is trusted, not what a client sent.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    if forwarded and _is_address(forwarded) and (not peer or ip_address(peer).is_loopback):
        return forwarded
    return str(peer)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _fetch_jwks(tenant_slug: str | None) -> Jwks:
    from scaiwave.clients.http.exceptions import INTERACTIVE_TIMEOUTS

    return fetch_scaikey_jwks(
        settings.CONFIG.get_url("SCAIWAVE_SCAIKEY_URL"),
        tenant_slug,
        retry_policy=INTERACTIVE_RETRIES,
        timeouts=INTERACTIVE_TIMEOUTS,
    )


_jwks_cache = JwksCache(_fetch_jwks)
