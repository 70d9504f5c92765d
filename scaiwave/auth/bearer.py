"""Who calls the HTTP API: the bearer of a ScaiKey token, and from where."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

from scaiwave import registry
from scaiwave.auth.jwks_cache import Jwks, JwksCache
from scaiwave.auth.operators import fetch_jwks_of, verified_claims
from scaiwave.auth.tokens import Claims
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.errors import TokenRequired

# A caller waits for this; a command in the night may wait longer.
PATIENCE = RetryPolicy(total=5.0, first_contact=2.0)


def authenticate_bearer(request: HttpRequest) -> Claims:
    """What the caller's token says. Raises what `verified_claims` raises, and `TokenRequired`."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRequired("The request carries no bearer token.")
    fetch = _keys.for_one_token(_slug_of)
    return verified_claims(settings.CONFIG, token.strip(), fetch_jwks=fetch)


def client_address(request: HttpRequest) -> str:
    """Whoever is connected; if that is a proxy on this machine, whom it says it speaks for.

    A proxy puts the address it sees last, so what a client has put there itself is not believed.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    named = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    if named and _is_address(named) and (not peer or ip_address(peer).is_loopback):
        return named
    return str(peer)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _slug_of(tenant_id: str | None) -> str | None:
    return registry.resolve_tenant_slug(tenant_id) if tenant_id else None


def _fetch(tenant_slug: str | None) -> Jwks:
    return fetch_jwks_of(
        settings.CONFIG.get_url("SCAIWAVE_SCAIKEY_URL"), tenant_slug, patience=PATIENCE
    )


_keys = JwksCache(_fetch)
