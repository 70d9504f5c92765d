"""The addresses of the sign-in with ScaiKey; none without the libraries of the web server."""

from __future__ import annotations

from django.conf import settings
from django.urls import path

urlpatterns = []
if settings.HAS_WEB:
    from tenants.accounts.oidc.views import (
        SignInCallbackView,
        SignInRequestView,
        show_errors,
    )

    urlpatterns = [
        path("authenticate/", show_errors(SignInRequestView.as_view()), name="oidc_authenticate"),
        path("callback/", show_errors(SignInCallbackView.as_view()), name="oidc_callback"),
    ]
