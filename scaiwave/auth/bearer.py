"""Authentication of the HTTP API: the claims of a ScaiKey token, and the caller's address."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

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


MAX_PROXIES = 20
"""More entries of X-Forwarded-For are not read: a client can send thousands."""


def get_client_address(request: HttpRequest) -> str:
    """Return the address of the client, as the proxies in SCAIWAVE_TRUSTED_PROXIES report it.

    Each proxy appends the address of its caller, so the last entry that is not a
    trusted proxy is the client. What is before that, or behind an entry that is not an address,
    anyone can have sent.
    """
    client = str(request.META.get("REMOTE_ADDR", ""))
    entries = request.headers.get("X-Forwarded-For", "").rsplit(",", MAX_PROXIES)
    for entry in reversed(entries[-MAX_PROXIES:]):
        if not _is_trusted_proxy(client) or _parse_address(entry.strip()) is None:
            break
        client = entry.strip()
    return client


def _is_trusted_proxy(text: str) -> bool:
    """Whether a trusted proxy has this address. A peer at a Unix socket has no address."""
    address = _parse_address(text)
    if address is None:
        return not text
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address; None for other texts, and for a zone, which can be any text."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return None if address.scope_id else address.ipv4_mapped or address


def _fetch_jwks(tenant_slug: str | None) -> Jwks:
    from scaiwave.clients.http.exceptions import INTERACTIVE_TIMEOUTS

    return fetch_scaikey_jwks(
        settings.CONFIG.get_url("SCAIWAVE_SCAIKEY_URL"),
        tenant_slug,
        retry_policy=INTERACTIVE_RETRIES,
        timeouts=INTERACTIVE_TIMEOUTS,
    )


_jwks_cache = JwksCache(_fetch_jwks)
