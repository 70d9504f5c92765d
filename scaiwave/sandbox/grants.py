"""What people have granted to applications: authorisation codes, and the tokens issued for them.

Kept in memory: after a restart of the sandbox people sign in again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass, field

from scaiwave.core.base64url import encode_base64url

CODE_SECONDS = 60.0
"""RFC 6749, 4.1.2 recommends ten minutes at most; a client redeems its code at once."""

_VERIFIER = re.compile(r"\A[A-Za-z0-9._~-]{43,128}\Z")


class GrantRefused(Exception):
    """A code or refresh token that is refused; the text is the error_description."""


@dataclass(kw_only=True, slots=True)
class Grant:
    """One sign-in of a person to an application.

    `expires` is a reading of the monotonic clock in seconds: the code can't be redeemed later;
    `auth_time` is a Unix time.
    """

    client_id: str
    redirect_uri: str
    user_id: str
    scopes: tuple[str, ...]
    issuer: str
    code_challenge: str = field(repr=False)
    nonce: str | None = None
    auth_time: int = field(default_factory=lambda: int(time.time()))
    expires: float = 0.0
    grant_id: str = field(default_factory=lambda: secrets.token_hex(16))
    is_redeemed: bool = False
    is_revoked: bool = False
    refresh_token: str = field(default="", repr=False)


class Grants:
    """All grants of this run. A code expires `code_lifetime` seconds after its creation."""

    def __init__(self) -> None:
        self.code_lifetime = CODE_SECONDS
        self._lock = threading.Lock()
        self._by_id: dict[str, Grant] = {}
        self._by_code: dict[str, Grant] = {}
        self._by_refresh_token: dict[str, Grant] = {}

    def add(self, grant: Grant) -> str:
        """Store the grant, and return its authorisation code."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            grant.expires = time.monotonic() + self.code_lifetime
            self._by_id[grant.grant_id] = self._by_code[code] = grant
        return code

    def redeem(
        self, code: str, *, client_id: str, issuer: str, redirect_uri: str, verifier: str
    ) -> Grant:
        """Return the grant of a code, which can be redeemed once. Raises `GrantRefused`.

        A second attempt revokes the tokens of the first (RFC 6749, 4.1.2), and a wrong verifier or
        redirect URI ends the code, so that guessing is useless.
        """
        with self._lock:
            grant = self._by_code.get(code)
            if grant is None or (grant.client_id, grant.issuer) != (client_id, issuer):
                raise GrantRefused("The code is unknown, or was issued to another client.")
            if grant.is_redeemed or grant.is_revoked:
                grant.is_revoked = True
                raise GrantRefused("The code has been used or revoked.")
            grant.is_redeemed = True
            if time.monotonic() >= grant.expires:
                raise GrantRefused("The code has expired.")
            if grant.redirect_uri != redirect_uri:
                raise GrantRefused("redirect_uri differs from the authorisation request.")
            # S256 (RFC 7636, 4.6)
            digest = hashlib.sha256(verifier.encode()).digest()
            expected = encode_base64url(digest)
            if not hmac.compare_digest(expected.encode(), grant.code_challenge.encode()):
                raise GrantRefused("code_verifier does not match code_challenge.")
            self._issue_refresh_token(grant)
            return grant

    def refresh(self, refresh_token: str, *, client_id: str, issuer: str) -> Grant:
        """Return the grant of a refresh token, with a new one. Raises `GrantRefused`.

        Using an old one again revokes all tokens of the grant (RFC 9700, 4.14.2).
        """
        with self._lock:
            grant = self._by_refresh_token.get(refresh_token)
            if grant is None or (grant.client_id, grant.issuer) != (client_id, issuer):
                raise GrantRefused("The refresh token is unknown, or of another client.")
            if grant.refresh_token != refresh_token:
                grant.is_revoked = True
            if grant.is_revoked:
                raise GrantRefused("The refresh token has been used or revoked.")
            self._issue_refresh_token(grant)
            return grant

    def revoke(self, grant_id: str) -> None:
        with self._lock:
            if grant := self._by_id.get(grant_id):
                grant.is_revoked = True

    def is_revoked(self, grant_id: str) -> bool:
        """Return whether a grant was revoked, or belongs to an earlier run."""
        grant = self._by_id.get(grant_id)
        return grant is None or grant.is_revoked

    def _issue_refresh_token(self, grant: Grant) -> None:
        grant.refresh_token = secrets.token_urlsafe(32)
        self._by_refresh_token[grant.refresh_token] = grant


def is_verifier(text: str) -> bool:
    """Return whether a text has the form of a code verifier (RFC 7636, 4.1)."""
    return _VERIFIER.match(text) is not None
