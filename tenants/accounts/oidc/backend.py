"""The backend that turns ScaiKey's answer to a sign-in into an account."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from scaiwave.auth.bearer import build_jwks_fetcher, get_client_address
from scaiwave.auth.identify import MAX_NAME_CHARS, build_token_operator
from scaiwave.auth.tokens import Claims, verify_id_token, verify_token
from scaiwave.clients.errors import UpstreamConflict, UpstreamRejected
from scaiwave.clients.http.exceptions import INTERACTIVE_TIMEOUTS
from scaiwave.clients.scaikey.sign_in import fetch_profile, redeem_code
from scaiwave.core.errors import (
    ExpiredToken,
    InsufficientPermission,
    InvalidToken,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.core.operators import Operator
from scaiwave.site.access import ROLES
from scaiwave.web.scaikey_sign_in import get_platform_issuer, token_failure
from tenants.accounts.callers import find_account
from tenants.accounts.oidc.settings import get_oidc_setting
from tenants.accounts.scaikey_sign_in import sign_in_person
from tenants.errors import SignInRejected, SignInRoleMissing
from tenants.models import AdminUser

MAX_SESSION_SECONDS = 3600.0
"""A role is valid for as long as the token that proves it, and never longer than this."""

MAX_SUBJECT_CHARS = 200


@dataclass(frozen=True)
class SignInResult:
    """What a session keeps of a sign-in: who, until when in Unix seconds, and the ID token."""

    operator: Operator
    expires_at: float
    id_token: str


class ScaiKeyBackend(OIDCAuthenticationBackend):  # type: ignore[misc]  # it ships no types
    """Knows people by `sub`. Raises ScaiWaveError instead of returning None, so that the page can
    show why. An instance serves one sign-in: Django makes one for each."""

    _access_token = ""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return get_oidc_setting(attr, *args)

    def __init__(self) -> None:
        """Read no settings: Django also makes an instance for each request, to get the account."""
        self.UserModel = AdminUser
        self.OIDC_RP_CLIENT_ID = ""
        self.OIDC_RP_CLIENT_SECRET = ""

    def authenticate(
        self, request: HttpRequest | None, *, nonce: str, code_verifier: str
    ) -> AdminUser | None:
        """Redeem the code of a callback. Passwords don't get here: Django calls a backend only with
        the credentials that it names.

        Raises SignInRejected, SignInRoleMissing, SignInRefused, and UpstreamError.
        """
        super().__init__()
        try:
            account: AdminUser | None = super().authenticate(
                request, nonce=nonce, code_verifier=code_verifier
            )
        except (InvalidToken, ExpiredToken) as error:
            raise SignInRejected(
                f"ScaiKey's answer was rejected. {error.message}", **error.details
            ) from None
        return account

    def get_user(self, user_id: Any) -> AdminUser | None:
        """Return the account of a session, which ends once the person may no longer sign in."""
        return find_account(user_id)

    def get_token(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send the code to ScaiKey, and return the tokens.

        By the suite's own client, and not by the library: it follows no redirect, and its answers
        have limits of size and time.
        """
        redirect_uri = settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI")
        form = {**payload, "redirect_uri": redirect_uri}
        client_id, client_secret = form.pop("client_id"), form.pop("client_secret")
        if failure := token_failure.get():
            raise failure
        with _translate_errors():
            tokens = redeem_code(
                settings.CONFIG.get_url("SCAIWAVE_SCAIKEY_URL"),
                self.OIDC_OP_TOKEN_ENDPOINT,
                {**form, "client_id": client_id},
                client_id=client_id,
                client_secret=client_secret,
                timeouts=INTERACTIVE_TIMEOUTS,
            )
        self._access_token = tokens.access_token
        self.request.has_scaikey_tokens = True
        return {"access_token": tokens.access_token, "id_token": tokens.id_token}

    def verify_token(self, token: str, **kwargs: Any) -> Claims:
        return verify_id_token(
            token,
            issuer=get_platform_issuer(settings.CONFIG),
            client_id=self.OIDC_RP_CLIENT_ID,
            nonce=kwargs.get("nonce") or "",
            access_token=self._access_token,
            fetch_jwks=_build_platform_fetcher(),
        )

    def get_or_create_user(self, access_token: str, id_token: str, payload: Claims) -> AdminUser:
        """Return the account of the person, whose name and e-mail address are refreshed.

        Raises SignInRoleMissing, SignInRefused, and what `get_userinfo` raises.
        """
        if len(payload.subject) > MAX_SUBJECT_CHARS:
            raise InvalidToken("The token's subject is too long (sub).")
        claims = _verify_access_token(access_token, payload.subject) or payload
        if claims.by_client:
            raise InvalidToken("The token belongs to an application, not to a person.")
        profile = self._load_profile(access_token, payload)
        operator = _build_operator(claims, profile, self.request)
        account = sign_in_person(
            operator=operator, name=profile["name"], email=profile["email"], now=timezone.now()
        )
        self.request.scaikey_sign_in = SignInResult(
            operator, min(claims.expires_at, time.time() + MAX_SESSION_SECONDS), id_token
        )
        return account

    def _load_profile(self, access_token: str, claims: Claims) -> dict[str, str]:
        """Return name and e-mail address, which are only shown and never decide anything."""
        info: Any = {}
        if endpoint := get_oidc_setting("OIDC_OP_USER_ENDPOINT"):
            with _translate_errors():
                info = fetch_profile(
                    settings.CONFIG.get_url("SCAIWAVE_SCAIKEY_URL"),
                    endpoint,
                    access_token,
                    timeouts=INTERACTIVE_TIMEOUTS,
                )
            if not isinstance(info, dict) or info.get("sub") != claims.subject:
                raise InvalidToken("The profile belongs to another person (sub).")
        is_verified = info.get("email_verified") is not False
        return {
            "name": _clean(info.get("name")) or _clean(claims.name),
            "email": (_clean(info.get("email")) or _clean(claims.email)) if is_verified else "",
        }


def _clean(value: object) -> str:
    """Return a text that every database takes; other values as none."""
    return value.strip() if isinstance(value, str) and value.isprintable() else ""


def _build_platform_fetcher() -> Any:
    fetch = build_jwks_fetcher()

    def fetch_jwks(tenant_id: str | None) -> Any:
        if tenant_id is not None:
            raise InvalidToken("The token was issued by a tenant. Sign-ins are at the platform.")
        return fetch(None)

    return fetch_jwks


def _verify_access_token(token: str, subject: str) -> Claims | None:
    """Return the claims of the access token, which has the role; None if it is not a JWT.

    It is one for this server's own client, whatever audience the tokens of the command line have.
    """
    if token.count(".") != 2:
        return None
    claims = verify_token(
        token,
        issuer=get_platform_issuer(settings.CONFIG),
        audience=settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"),
        fetch_jwks=_build_platform_fetcher(),
    )
    if claims.subject != subject:
        raise InvalidToken("The access token belongs to another person (sub).")
    return claims


def _build_operator(claims: Claims, profile: dict[str, str], request: HttpRequest) -> Operator:
    """Return the person as an operator. Raises SignInRoleMissing."""
    try:
        operator = build_token_operator(claims, "")
    except InsufficientPermission:
        operator = None
    if operator is None or operator.role not in ROLES:
        raise SignInRoleMissing("You have no role in ScaiKey that may enter the admin site.")
    return replace(
        operator,
        name=(profile["email"] or profile["name"] or claims.subject)[:MAX_NAME_CHARS],
        origin=f"{get_client_address(request)} via ScaiKey",
    )


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise the errors of a request to ScaiKey as errors of a sign-in."""
    try:
        yield
    except UpstreamUnreachable as error:
        token_failure.remember(error)
        raise
    except (UpstreamUnauthorized, UpstreamForbidden) as error:
        raise UpstreamUnauthorized(
            f"ScaiKey has rejected this server at the sign-in. {error.message}",
            fix="Check SCAIWAVE_SCAIKEY_CLIENT_ID and SCAIWAVE_SCAIKEY_CLIENT_SECRET.",
        ) from None
    except (UpstreamRejected, UpstreamConflict, UpstreamNotFound):
        raise SignInRejected("ScaiKey has rejected the sign-in.") from None
