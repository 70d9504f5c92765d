"""The way to ScaiKey, back from it, and out. Errors on the way are pages with their fix."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.views.decorators.cache import never_cache
from mozilla_django_oidc.views import (
    OIDCAuthenticationCallbackView,
    OIDCAuthenticationRequestView,
)

from scaiwave.auth.bearer import get_client_address
from scaiwave.core.errors import ScaiWaveError
from scaiwave.site.access import ID_TOKEN_KEY, save_operator
from scaiwave.site.upstream_errors import hide_upstream_details
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.web.scaikey_sign_in import endpoint_cache, get_platform_issuer
from tenants.accounts.oidc.settings import get_oidc_setting
from tenants.accounts.record_sign_in import SignInOutcome, record_scaikey_failure
from tenants.errors import (
    SignInCancelled,
    SignInRefused,
    SignInRejected,
    SignInRoleMissing,
    SignInStateLost,
)

STATES_KEY, NEXT_KEY = "oidc_states", "oidc_login_next"
"""Where the library keeps the sign-ins in progress, and where to go after one."""

MAX_SIGN_IN_SECONDS = 15 * 60
"""How long a sign-in may take."""

UNKNOWN_SIGN_IN = "This sign-in is unknown in this browser, or over."

_CANCELLED = ("access_denied", "login_required", "interaction_required", "consent_required")

logger = logging.getLogger(__name__)

_View = Callable[..., HttpResponse]


def show_errors(view: _View) -> _View:
    """Return a view that shows an error as a page, and records one that ends a sign-in."""

    def show(request: HttpRequest) -> HttpResponse:
        if not settings.HAS_SCAIKEY_SIGN_IN:
            raise Http404
        try:
            with translate_errors():
                return view(request)
        except SuspiciousOperation:
            error: ScaiWaveError = SignInStateLost(UNKNOWN_SIGN_IN)
        except ScaiWaveError as raised:
            error = raised
        _record(request, error)
        hint = ", or sign in with a password" if settings.HAS_PASSWORD_SIGN_IN else ""
        error = hide_upstream_details(
            error, "ScaiKey can't sign you in now.", fix=f"Try again in a few minutes{hint}."
        )
        context = {"error": error, "has_password_sign_in": settings.HAS_PASSWORD_SIGN_IN}
        return render(
            request, "scaiwave/admin/sign_in_failed.html", context, status=error.http_status
        )

    return never_cache(show)


def _record(request: HttpRequest, error: ScaiWaveError) -> None:
    """Write the refusals of ScaiKey's answers into the audit log, and count forged ones.

    What anyone can cause without ScaiKey is not recorded: it would fill the log. That includes an
    answer that is an error itself, with which no request is sent to ScaiKey.
    """
    if request.GET.get("error"):
        logger.warning("A sign-in with ScaiKey failed: %s", error.message)
        return
    if not isinstance(error, SignInRejected | SignInRoleMissing | SignInRefused):
        return
    if isinstance(error, SignInRejected):
        user_login_failed.send(sender=__name__, credentials={}, request=request)
    is_locked = getattr(request, "axes_locked_out", False)
    record_scaikey_failure(
        outcome=SignInOutcome.LOCKED if is_locked else SignInOutcome.FAILED,
        code=error.code,
        address=get_client_address(request),
        now=timezone.now(),
    )


class SignInRequestView(OIDCAuthenticationRequestView):  # type: ignore[misc]  # it ships no types
    """Sends the browser to ScaiKey."""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return get_oidc_setting(attr, *args)

    def get(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = super().get(request)
        if not request.user.is_authenticated:
            # Anyone can begin a sign-in, and each has a session in the database.
            request.session.set_expiry(MAX_SIGN_IN_SECONDS)
        # The library also accepts addresses of this host with another port or scheme.
        target = request.session.get(NEXT_KEY)
        if target and (not target.startswith("/") or target.startswith(("//", "/\\"))):
            request.session[NEXT_KEY] = None
        return response

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        return {"redirect_uri": settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI")}


class SignInCallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Receives the browser from ScaiKey, and lets the person in."""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return get_oidc_setting(attr, *args)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Raises SuspiciousOperation and ScaiWaveError."""
        if not AxesProxyHandler.is_allowed(request, {}):
            request.axes_locked_out = True  # type: ignore[attr-defined]
            return self.login_failure()
        state = request.GET.get("state", "")
        if state not in request.session.get(STATES_KEY, {}):
            raise SignInStateLost(UNKNOWN_SIGN_IN)
        try:
            self._check_issuer(request)
        except ScaiWaveError:
            self._forget(request, state)
            raise
        if error := request.GET.get("error"):
            self._forget(request, state)
            raise _build_error(error)
        response: HttpResponse = super().get(request)
        return response

    def _check_issuer(self, request: HttpRequest) -> None:
        """Reject the answer of another server, to which the code would be sent (RFC 9207)."""
        issuer = request.GET.get("iss")
        expected = get_platform_issuer(settings.CONFIG)
        if issuer is None and not endpoint_cache.get(settings.CONFIG).sends_issuer:
            return
        if (issuer or "").rstrip("/") != expected:
            raise SignInRejected("The answer to the sign-in does not come from ScaiKey (iss).")

    def _forget(self, request: HttpRequest, state: str) -> None:
        del request.session[STATES_KEY][state]
        request.session.modified = True

    def login_failure(self) -> HttpResponse:
        """Return what is shown during a lock; the middleware of axes replaces it."""
        return HttpResponse(status=HTTPStatus.TOO_MANY_REQUESTS)

    def login_success(self) -> HttpResponse:
        """Begin a session under a new key, also if the same person had one already."""
        request, result = self.request, self.request.scaikey_sign_in
        target = request.session.get(NEXT_KEY) or resolve_url("admin:index")
        login(request, self.user)
        request.session.cycle_key()
        request.session.set_expiry(None)
        request.session.pop(NEXT_KEY, None)
        request.session[ID_TOKEN_KEY] = result.id_token
        save_operator(request.session, result.operator, expires_at=result.expires_at)
        return HttpResponseRedirect(target)


def _build_error(code: str) -> ScaiWaveError:
    """Return the error for a code of RFC 6749. The text beside it may be anyone's, so it is not
    shown."""
    if code in _CANCELLED:
        return SignInCancelled("ScaiKey has not signed you in: it was cancelled or denied.")
    known = code if code.isascii() and code.replace("_", "").isalpha() and len(code) < 50 else "?"
    return SignInRejected(f"ScaiKey has rejected the sign-in: {known}.")


def build_end_session_url(id_token: str) -> str:
    """Return where ScaiKey ends its session, or an empty text if it has no such address.

    No post_logout_redirect_uri is sent, since `sync register` registers none. Raises UpstreamError.
    """
    address = endpoint_cache.get(settings.CONFIG).end_session
    if not address:
        return ""
    client_id = settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")
    query = urlencode({"client_id": client_id, "id_token_hint": id_token})
    return f"{address}{'&' if '?' in address else '?'}{query}"
