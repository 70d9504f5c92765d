"""Authenticate to ScaiKey, with a token from client credentials or the operator's own token.

(ScaiKey docs, concepts/oauth-and-oidc and reference/oauth-endpoints)
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote_plus

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.core.errors import (
    InvalidToken,
    SettingMissing,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    UpstreamUnreachable,
)

logger = logging.getLogger(__name__)

PLATFORM = "/api/v1/platform"
DISCOVERY = f"{PLATFORM}/oauth/.well-known/openid-configuration"
TOKEN = f"{PLATFORM}/oauth/token"
JWKS = f"{PLATFORM}/.well-known/jwks.json"

SCOPE = "admin:read"

RENEW_BEFORE_SECONDS = 30.0
"""Seconds before its expiry at which a token is renewed; half its lifetime if that is shorter."""

DEFAULT_LIFETIME_SECONDS = 300.0
"""Assumed lifetime of a token if the server states none."""


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where tokens are requested and public keys are published: paths, or complete URLs."""

    token: str = TOKEN
    jwks: str = JWKS


class _Discovery(msgspec.Struct):
    token_endpoint: str | None = None
    jwks_uri: str | None = None


def discover(http: HttpClient) -> Endpoints:
    """Return the endpoints that ScaiKey publishes; the documented ones if it publishes none.

    An endpoint on another server is refused, because the client secret would be sent there: host,
    scheme and port must match the base URL, except that https on the same host is always allowed.
    Raises UpstreamInvalidResponse.
    """
    try:
        response = http.request("GET", DISCOVERY, retry=False)
    except (
        UpstreamNotFound,
        UpstreamUnreachable,
        UpstreamUnavailable,
        UpstreamForbidden,
        UpstreamUnauthorized,
    ) as error:
        logger.info("No discovery document, using the documented endpoints: %s", error.message)
        return Endpoints()
    document = decode_response(response.content, _Discovery, source=f"GET {DISCOVERY}")
    return Endpoints(
        token=check_endpoint(http, document.token_endpoint, "token_endpoint") or TOKEN,
        jwks=check_endpoint(http, document.jwks_uri, "jwks_uri") or JWKS,
    )


def check_endpoint(http: HttpClient, address: str | None, field: str) -> str | None:
    if not address:
        return None
    base = http.base_url
    try:
        url = base.join(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    same_origin = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    if not url.userinfo and (same_origin or (url.scheme == "https" and url.host == base.host)):
        return str(url)
    origin = f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")
    raise UpstreamInvalidResponse(
        f"The discovery document of {http.peer.name} has its {field} on another server, {origin}, "
        "which must not get credentials.",
        fix=f"Set {http.peer.setting} to the address in ScaiKey's discovery document.",
    )


class TokenProvider(ABC):
    """Supplies the tokens of requests."""

    @abstractmethod
    def bearer(self) -> str:
        """Return the token to send."""

    def renew(self, rejected: str) -> bool:
        """Replace the token that the server rejected; return whether there is a new one to try."""
        return False


def send_with_token(auth: TokenProvider, send: Callable[[str], httpx.Response]) -> httpx.Response:
    """Send a request with a token, and once more with a new one, since it may be revoked."""
    token = auth.bearer()
    try:
        return send(token)
    except UpstreamUnauthorized:
        if not auth.renew(token):
            raise
    return send(auth.bearer())


class AnonymousAuth(TokenProvider):
    """No credentials: raises `SettingMissing` for requests that need a token."""

    def bearer(self) -> str:
        raise SettingMissing(
            "No credentials for ScaiKey are configured.",
            fix="Run `scaiwave sync register`, or set SCAIWAVE_SCAIKEY_CLIENT_ID and "
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET.",
        )


@dataclass(frozen=True)
class BearerAuth(TokenProvider):
    """The operator's own token, without renewal or fallback to this server's credentials."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not is_sendable(self.token):
            raise InvalidToken("The ScaiKey token contains characters that no token may have.")

    def bearer(self) -> str:
        return self.token


class _Grant(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: float | None = None


class ClientCredentialsAuth(TokenProvider):
    """Fetches a token when it is needed, and caches it until it expires. Threads may share it."""

    def __init__(
        self,
        http: HttpClient,
        *,
        client_id: str,
        client_secret: str,
        endpoints: Callable[[], Endpoints],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._client_id = client_id
        self._client_secret = client_secret
        self._endpoints = endpoints
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._expires_at = 0.0

    def __repr__(self) -> str:
        return f"<ClientCredentialsAuth {self._client_id}>"

    def bearer(self) -> str:
        with self._lock:
            if not self._token or self._clock() >= self._expires_at:
                self._fetch()
            return self._token

    def renew(self, rejected: str) -> bool:
        with self._lock:
            if self._token == rejected:  # Otherwise another thread has renewed it.
                self._fetch()
            return True

    def _fetch(self) -> None:
        requested_at = self._clock()
        response = self._post()
        grant = decode_response(response.content, _Grant, source="the response with the token")
        if grant.token_type.lower() != "bearer" or not is_sendable(grant.access_token):
            raise UpstreamInvalidResponse(
                f"{self._http.peer.name} returned something that is not a bearer token.",
                fix=f"Check that {self._http.peer.setting} is the address of ScaiKey.",
            )
        lifetime = DEFAULT_LIFETIME_SECONDS if grant.expires_in is None else grant.expires_in
        self._expires_at = requested_at + lifetime - min(RENEW_BEFORE_SECONDS, lifetime / 2)
        self._token = grant.access_token

    def _post(self) -> httpx.Response:
        """Send the token request, which may be retried because it changes nothing.

        By RFC 6749, 2.3.1, id and secret are form-encoded before they go into the Basic header.
        """
        try:
            return self._http.request(
                "POST",
                self._endpoints().token,
                data={"grant_type": "client_credentials", "scope": SCOPE},
                auth=(quote_plus(self._client_id), quote_plus(self._client_secret)),
                retry=True,
            )
        except (UpstreamUnauthorized, UpstreamRejected, UpstreamForbidden) as error:
            message = error.message
        raise UpstreamUnauthorized(
            message,
            fix="Check SCAIWAVE_SCAIKEY_CLIENT_ID and SCAIWAVE_SCAIKEY_CLIENT_SECRET, and that "
            f"the application may use client credentials with the scope {SCOPE}.",
        )


def is_sendable(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def unverified_claims(token: str) -> dict[str, object]:
    """Return the claims of a token without checking it, for a token that ScaiKey has just issued.

    Empty for an opaque token.
    """
    try:
        _, payload, _ = token.split(".")
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
