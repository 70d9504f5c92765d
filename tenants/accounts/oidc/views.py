"""The way to ScaiKey, back from it, and out. Errors on the way are pages with their fix."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth import authenticate, login
from django.contrib.auth.signals import user_login_failed
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.utils.encoding import iri_to_uri
from django.views import View
from django.views.decorators.cache import never_cache
from mozilla_django_oidc.views import OIDCAuthenticationRequestView

from scaiwave.auth.bearer import get_client_address
from scaiwave.core.errors import ScaiWaveError
from scaiwave.extensions import SignOutForm
from scaiwave.site.access import save_operator, save_sign_in
from scaiwave.site.id_tokens import save_id_token
from scaiwave.site.upstream_errors import hide_upstream_details
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.web.scaikey_sign_in import endpoint_cache, get_platform_issuer
from tenants.accounts.oidc.pending_sign_ins import (
    PendingSignIn,
    delete_pending,
    find_pending,
    save_pending,
)
from tenants.accounts.oidc.settings import get_oidc_setting
from tenants.accounts.record_sign_in import SignInOutcome, record_scaikey_failure
from tenants.errors import (
    SignInCancelled,
    SignInRefused,
    SignInRejected,
    SignInRoleMissing,
    SignInStateLost,
)

_CANCELLED = ("access_denied", "login_required", "interaction_required", "consent_required")

logger = logging.getLogger(__name__)

_View = Callable[..., HttpResponseBase]


def show_errors(view: _View) -> _View:
    """Return a view that shows an error as a page, and records one that ends a sign-in."""

    def show(request: HttpRequest) -> HttpResponseBase:
        if not settings.HAS_SCAIKEY_SIGN_IN:
            raise Http404
        try:
            with translate_errors():
                return view(request)
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

    def show_once(request: HttpRequest) -> HttpResponseBase:
        response = show(request)
        delete_pending(request, response, request.GET.get("state", ""))
        return response

    return never_cache(show_once)


def _record(request: HttpRequest, error: ScaiWaveError) -> None:
    """Write the refusals of ScaiKey's tokens into the audit log, and count forged ones.

    Anyone can come back with an error, or with a code that they made up: if that counted, they
    could fill the log, and lock out everyone at their address.
    """
    if not getattr(request, "has_scaikey_tokens", False):
        logger.warning("A sign-in with ScaiKey failed: %s", error.message)
        return
    if not isinstance(error, SignInRejected | SignInRoleMissing | SignInRefused):
        return
    # The browser sends the nonce to ScaiKey, so a wrong one is not forged by anyone else.
    if isinstance(error, SignInRejected) and not error.details.get("is_wrong_nonce"):
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
        endpoint_cache.get(settings.CONFIG, is_live=True)
        # The library writes the sign-in into a session: each is a row in the database.
        written: dict[str, Any] = {}
        session, request.session = request.session, written  # type: ignore[assignment]
        try:
            response: HttpResponse = super().get(request)
        finally:
            request.session = session
        ((state, values),) = written["oidc_states"].items()
        # The library also accepts addresses of this host with another port or scheme.
        target = iri_to_uri(written["oidc_login_next"] or "")
        is_path = target.startswith("/") and not target.startswith(("//", "/\\"))
        pending = PendingSignIn(values["nonce"], values["code_verifier"], target if is_path else "")
        save_pending(request, response, state, pending)
        return response

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        return {"redirect_uri": settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI")}


class SignInCallbackView(View):
    """Receives the browser from ScaiKey, and lets the person in."""

    http_method_names = ("get",)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Raises ScaiWaveError. An answer to no sign-in of this browser counts for nothing."""
        pending = find_pending(request, request.GET.get("state", ""))
        if pending is None:
            raise SignInStateLost("This sign-in is unknown in this browser, or over.")
        if not AxesProxyHandler.is_allowed(request, {}):
            return _refuse_locked(request)
        self._check_issuer(request)
        if error := request.GET.get("error"):
            raise _build_error(error)
        if not request.GET.get("code"):
            raise SignInRejected("ScaiKey's answer has no code.")
        user = authenticate(request, nonce=pending.nonce, code_verifier=pending.code_verifier)
        if user is None:  # Another request has locked the address since.
            return _refuse_locked(request)
        # Begin a session under a new key, even if the same person had one already.
        result = request.scaikey_sign_in  # type: ignore[attr-defined]
        login(request, user)
        request.session.cycle_key()
        request.session.set_expiry(None)  # 0.2.0 began sign-ins with a session of 15 minutes.
        save_id_token(request.session, result.id_token)
        save_operator(request.session, result.operator, expires_at=result.expires_at)
        save_sign_in(request)
        return HttpResponseRedirect(pending.target or resolve_url("admin:index"))

    def _check_issuer(self, request: HttpRequest) -> None:
        """Reject the answer of another server, which would get the code (RFC 9207)."""
        issuer = request.GET.get("iss")
        expected = get_platform_issuer(settings.CONFIG)
        if issuer is None and not endpoint_cache.get(settings.CONFIG).sends_issuer:
            return
        if (issuer or "").rstrip("/") != expected:
            raise SignInRejected("The answer to the sign-in does not come from ScaiKey (iss).")


def _refuse_locked(request: HttpRequest) -> HttpResponse:
    """Mark the request, so that the middleware of axes replaces this response."""
    request.axes_locked_out = True  # type: ignore[attr-defined]
    return HttpResponse(status=HTTPStatus.TOO_MANY_REQUESTS)


def _build_error(code: str) -> ScaiWaveError:
    """Return the error for a code of RFC 6749. The text beside it may be anyone's, so it is not
    shown."""
    if code in _CANCELLED:
        return SignInCancelled("ScaiKey has not signed you in: it was cancelled or denied.")
    known = code if code.isascii() and code.replace("_", "").isalpha() and len(code) < 50 else "?"
    return SignInRejected(f"ScaiKey has rejected the sign-in: {known}.")


def build_sign_out_form(id_token: str) -> SignOutForm | None:
    """Return what ends ScaiKey's session, or None if it publishes no address for that.

    A server that does takes POST too (OpenID Connect RP-Initiated Logout, 2). No
    post_logout_redirect_uri is sent, since `sync register` registers none. Raises UpstreamError.
    """
    address = endpoint_cache.get(settings.CONFIG, is_live=True).end_session
    if not address:
        return None
    fields = {"client_id": settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")}
    return SignOutForm(address, fields | ({"id_token_hint": id_token} if id_token else {}))
