"""Sign-ins in progress, each in a signed cookie of the browser that began it.

Anyone can begin one, so nothing of it is in the database. The browser deletes a cookie with the
first answer to its state. A copy of it is of no use: ScaiKey redeems each code once, and each for
one nonce and PKCE verifier.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, replace

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase

MAX_SIGN_IN_SECONDS = 15 * 60
"""How long a sign-in may take."""

MAX_COOKIE_BYTES = 1000
_SALT = "scaiwave.pending_sign_ins."
MAX_COOKIES = 4
"""How many a browser can have: any page can begin sign-ins, and all cookies must fit into the
headers that gunicorn and nginx accept."""


@dataclass(frozen=True)
class PendingSignIn:
    """What ScaiKey's answer must belong to, and the address on this server to go to then."""

    nonce: str
    code_verifier: str
    target: str = ""


def save_pending(
    request: HttpRequest, response: HttpResponse, state: str, pending: PendingSignIn
) -> None:
    """Set a cookie, in place of an earlier one if the browser has all. A long target is dropped."""
    signed = _sign(state, pending)
    if len(signed) > MAX_COOKIE_BYTES:
        signed = _sign(state, replace(pending, target=""))
    names = _list_names()
    free = [name for name in names if not request.COOKIES.get(name)]
    response.set_cookie(
        secrets.choice(free or names),  # Windows that begin at once mostly get different ones.
        signed,
        max_age=MAX_SIGN_IN_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",  # The answer comes by a link from ScaiKey, which Strict would not send.
    )


def find_pending(request: HttpRequest, state: str) -> PendingSignIn | None:
    """Return the sign-in that this browser began with this state, unless it took too long."""
    return next((pending for _, pending in _iter_pending(request, state)), None)


def delete_pending(request: HttpRequest, response: HttpResponseBase, state: str) -> None:
    """Delete the cookie of this state, if the browser has one."""
    for name, _ in _iter_pending(request, state):
        response.delete_cookie(name, samesite="Lax")


def _iter_pending(request: HttpRequest, state: str) -> Iterator[tuple[str, PendingSignIn]]:
    for name in _list_names():
        with suppress(signing.BadSignature):
            values = signing.loads(
                request.COOKIES.get(name, ""), salt=_SALT + state, max_age=MAX_SIGN_IN_SECONDS
            )
            yield name, PendingSignIn(*values)


def _sign(state: str, pending: PendingSignIn) -> str:
    return signing.dumps(astuple(pending), salt=_SALT + state)


def _list_names() -> list[str]:
    prefix = settings.COOKIE_PREFIX
    return [f"{prefix}scaiwave_sign_in_{number}" for number in range(MAX_COOKIES)]
