"""How we prove to ScaiKey who we are: a token by client credentials, or the operator's own.

(ScaiKey docs, concepts/oauth-and-oidc and reference/oauth-endpoints)
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote_plus

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.errors import (
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

RENEW_BEFORE = 30.0
"""Seconds before its end that a token is renewed; half its life if that is shorter."""

DEFAULT_LIFE = 300.0
"""Seconds that a token is trusted to live when the server doesn't say."""


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    token: str = TOKEN
    jwks: str = JWKS


class _Discovery(msgspec.Struct):
    token_endpoint: str | None = None
    jwks_uri: str | None = None


def discover(http: HttpClient) -> Endpoints:
    """The endpoints that ScaiKey publishes; the documented ones if it publishes none.

    An address on another server is refused, for our client secret would go there: host, scheme
    and port must be those of the base URL, except that https on the same host is always good.
    Raises UpstreamInvalidResponse.
    """
    try:
        answer = http.request("GET", DISCOVERY, retry=False)
    except (
        UpstreamNotFound,
        UpstreamUnreachable,
        UpstreamUnavailable,
        UpstreamForbidden,
        UpstreamUnauthorized,
    ) as error:
        logger.info("no discovery document, using the documented addresses: %s", error.message)
        return Endpoints()
    found = decode_response(answer.content, _Discovery, source=f"GET {DISCOVERY}")
    return Endpoints(
        token=_own(http, found.token_endpoint, "token_endpoint") or TOKEN,
        jwks=_own(http, found.jwks_uri, "jwks_uri") or JWKS,
    )


def _own(http: HttpClient, address: str | None, field: str) -> str | None:
    if not address:
        return None
    base = http.base_url
    try:
        url = base.join(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    if not url.userinfo and (same or (url.scheme == "https" and url.host == base.host)):
        return str(url)
    shown = f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")
    raise UpstreamInvalidResponse(
        f"The discovery document of {http.peer.name} places its {field} at {shown}, and "
        "credentials are not sent to another server.",
        fix=f"Set {http.peer.setting} to the address that ScaiKey itself goes by.",
    )


class TokenProvider(Protocol):
    def bearer(self) -> str:
        """The token to send."""

    def renew(self, refused: str) -> bool:
        """The server said 401 to `refused`: True if there is a newer one to try."""


class AnonymousAuth:
    """For what needs no credentials; anything else tells how to get some."""

    def bearer(self) -> str:
        raise SettingMissing(
            "There are no credentials for ScaiKey.",
            fix="Run `scaiwave sync register`, or set SCAIWAVE_SCAIKEY_CLIENT_ID and "
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET.",
        )

    def renew(self, refused: str) -> bool:
        return False


@dataclass(frozen=True)
class BearerAuth:
    """The operator's own token. We can't renew it, and never fall back to our credentials."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_sendable(self.token):
            raise InvalidToken("The ScaiKey token holds characters that no token has.")

    def bearer(self) -> str:
        return self.token

    def renew(self, refused: str) -> bool:
        return False


class _Grant(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: float | None = None


class ClientCredentialsAuth:
    """Fetches a token when one is needed and keeps it while it lives. Threads may share it."""

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
        self._good_until = 0.0

    def __repr__(self) -> str:
        return f"<ClientCredentialsAuth {self._client_id}>"

    def bearer(self) -> str:
        with self._lock:
            if not self._token or self._clock() >= self._good_until:
                self._fetch()
            return self._token

    def renew(self, refused: str) -> bool:
        with self._lock:
            if self._token == refused:  # Else another thread was faster.
                self._fetch()
            return True

    def _fetch(self) -> None:
        began = self._clock()
        answer = self._post()
        grant = decode_response(answer.content, _Grant, source="the answer to the token request")
        if grant.token_type.lower() != "bearer" or not _is_sendable(grant.access_token):
            raise UpstreamInvalidResponse(
                f"{self._http.peer.name} handed out something that is not a bearer token.",
                fix=f"Check that {self._http.peer.setting} is the address of ScaiKey.",
            )
        life = DEFAULT_LIFE if grant.expires_in is None else grant.expires_in
        self._good_until = began + life - min(RENEW_BEFORE, life / 2)
        self._token = grant.access_token

    def _post(self) -> httpx.Response:
        """A token request may be repeated: it changes nothing. RFC 6749, 2.3.1, has id and
        secret encoded as in a form before they go into the Basic header."""
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


def _is_sendable(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def unverified_claims(token: str) -> dict[str, Any]:
    """What a token says of itself, unchecked: good enough for one that ScaiKey just gave us.

    An opaque token says nothing.
    """
    try:
        _, payload, _ = token.split(".")
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
