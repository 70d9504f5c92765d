"""The backend that turns ScaiKey's answer to a sign-in into an account."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import quote_plus

import requests
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from scaiwave.admin.access import ROLES
from scaiwave.auth.bearer import build_jwks_fetcher, get_client_address
from scaiwave.auth.operators import (
    MAX_NAME_CHARS,
    Operator,
    build_token_operator,
)
from scaiwave.auth.tokens import Claims, verify_id_token, verify_token
from scaiwave.errors import (
    ExpiredToken,
    InsufficientPermission,
    InvalidToken,
    UpstreamInvalidResponse,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from scaiwave.web.scaikey_sign_in import get_platform_issuer, token_failure
from tenants.errors import SignInRejected, SignInRoleMissing
from tenants.models import AdminUser
from tenants.oidc.settings import get_oidc_setting
from tenants.queries.callers import find_sign_in_blocker
from tenants.services.scaikey_sign_in import sign_in_person

MAX_SESSION_SECONDS = 3600.0
"""A role is valid for as long as the token that proves it, and never longer than this."""

MAX_SUBJECT_CHARS = 200

_TOKENS = ("access_token", "id_token")


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
            raise SignInRejected(f"ScaiKey's answer was rejected. {error.message}") from None
        return account

    def get_user(self, user_id: Any) -> AdminUser | None:
        """Return the account of a session, which ends once the person may no longer sign in."""
        account = AdminUser.objects.filter(pk=user_id, is_active=True).first()
        if account is None or account.scaikey_id is None:
            return None
        return None if find_sign_in_blocker(account.scaikey_id) else account

    def get_token(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Send the code to ScaiKey, and return its answer.

        By RFC 6749, 2.3.1, id and secret are form-encoded before they go into the Basic header.
        """
        encoded = {name: quote_plus(payload[name]) for name in ("client_id", "client_secret")}
        redirect_uri = settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI")
        if failure := token_failure.get():
            raise failure
        try:
            answer = super().get_token({**payload, **encoded, "redirect_uri": redirect_uri})
        except requests.JSONDecodeError:
            answer = None
        except requests.RequestException as error:
            _raise_upstream_error(error)
        tokens = [answer.get(name) for name in _TOKENS] if isinstance(answer, dict) else []
        if not tokens or not all(isinstance(token, str) and token for token in tokens):
            raise UpstreamInvalidResponse(
                "ScaiKey's answer to the sign-in has no tokens.",
                fix="Check that the application of this server may request the scope openid.",
            )
        self._access_token = answer["access_token"]
        return dict(answer)

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
        if get_oidc_setting("OIDC_OP_USER_ENDPOINT"):
            self.OIDC_OP_USER_ENDPOINT = get_oidc_setting("OIDC_OP_USER_ENDPOINT")
            try:
                info = self.get_userinfo(access_token, "", {})
            except requests.JSONDecodeError:
                info = None
            except requests.RequestException as error:
                _raise_upstream_error(error)
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


def _raise_upstream_error(error: requests.RequestException) -> NoReturn:
    """Raise our error for one of requests. Its text may repeat a token, so it is not shown."""
    translated = _translate_request_error(error)
    if isinstance(translated, UpstreamUnreachable):
        token_failure.remember(translated)
    raise translated from None


def _translate_request_error(error: requests.RequestException) -> Exception:
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return UpstreamUnauthorized(
            f"ScaiKey has rejected this server at the sign-in (HTTP {status}).",
            fix="Check SCAIWAVE_SCAIKEY_CLIENT_ID and SCAIWAVE_SCAIKEY_CLIENT_SECRET.",
        )
    if 400 <= status < 500 and status != 429:
        return SignInRejected(f"ScaiKey has rejected the sign-in (HTTP {status}).")
    if status:
        return UpstreamUnavailable(
            f"ScaiKey can't sign you in now (HTTP {status}).", fix="Try again in a few minutes."
        )
    return UpstreamUnreachable(
        "ScaiKey did not answer.", fix="Try again in a few minutes, or sign in with a password."
    )
