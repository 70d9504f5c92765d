"""Sign-ins in progress, each in a signed cookie of the browser that began it.

Anyone can begin one, so nothing of it is in the database. The browser deletes a cookie with the
first answer to its state. A copy of it is of no use: ScaiKey redeems each code once, and each for
one nonce and PKCE verifier.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import get_script_prefix

MAX_SIGN_IN_SECONDS = 15 * 60
"""How long a sign-in may take."""

MAX_PENDING_BYTES = 4000
"""Of all cookies; with the next one they fit into the headers that gunicorn and nginx accept."""

MAX_TARGET_CHARS = 1000

_PREFIX = "scaiwave_sign_in_"


@dataclass(frozen=True)
class PendingSignIn:
    """What ScaiKey's answer must belong to, and the address on this server to go to then."""

    nonce: str
    code_verifier: str
    target: str = ""


def save_pending(
    request: HttpRequest, response: HttpResponse, state: str, pending: PendingSignIn
) -> None:
    """Add the cookie, and delete earlier ones if there are too many."""
    earlier = {name: value for name, value in request.COOKIES.items() if name.startswith(_PREFIX)}
    if sum(map(len, (*earlier, *earlier.values()))) > MAX_PENDING_BYTES:
        for name in earlier:
            _delete(response, name)
    response.set_cookie(
        _PREFIX + state,
        signing.dumps(astuple(pending), salt=_PREFIX + state),
        max_age=MAX_SIGN_IN_SECONDS,
        path=_get_path(),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",  # The answer comes by a link from ScaiKey, which Strict would not send.
    )


def find_pending(request: HttpRequest, state: str) -> PendingSignIn | None:
    """Return the sign-in that this browser began with this state, unless it took too long."""
    signed = request.COOKIES.get(_PREFIX + state, "")
    try:
        values = signing.loads(signed, salt=_PREFIX + state, max_age=MAX_SIGN_IN_SECONDS)
    except signing.BadSignature:
        return None
    return PendingSignIn(*values)


def delete_pending(request: HttpRequest, response: HttpResponseBase, state: str) -> None:
    """Delete the cookie of this state, if the browser has one."""
    if _PREFIX + state in request.COOKIES:
        _delete(response, _PREFIX + state)


def _delete(response: HttpResponseBase, name: str) -> None:
    response.delete_cookie(name, path=_get_path(), samesite="Lax")


def _get_path() -> str:
    return f"{get_script_prefix()}oidc/"
