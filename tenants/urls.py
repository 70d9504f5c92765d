"""The addresses of the sign-in with ScaiKey; none without the libraries of the web server."""

from __future__ import annotations

from django.conf import settings
from django.urls import path

urlpatterns = []
if settings.HAS_WEB:
    from scaiwave.admin.site import register_end_session
    from tenants.oidc.views import (
        SignInCallbackView,
        SignInRequestView,
        build_end_session_url,
        show_errors,
    )

    register_end_session(build_end_session_url)
    urlpatterns = [
        path("authenticate/", show_errors(SignInRequestView.as_view()), name="oidc_authenticate"),
        path("callback/", show_errors(SignInCallbackView.as_view()), name="oidc_callback"),
    ]
