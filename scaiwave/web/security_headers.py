"""The Content-Security-Policy of every response, and how Django sends it.

Django sends the header itself from 6.0 on; for 5.2 there is `PolicyMiddleware`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:  # Settings import this module for commands too.
    from django.http import HttpRequest, HttpResponseBase

CONTENT_SECURITY_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
"""Scripts and styles are files of this server: no page has them inline."""

MIDDLEWARE = (
    "django.middleware.csp.ContentSecurityPolicyMiddleware"
    if django.VERSION >= (6, 0)
    else "scaiwave.web.security_headers.PolicyMiddleware"
)

HEADER = "Content-Security-Policy"


def format_policy(**changes: str) -> str:
    """Return the policy with other values, such as `form_action`."""
    policy = CONTENT_SECURITY_POLICY | {
        name.replace("_", "-"): value for name, value in changes.items()
    }
    return "; ".join(f"{name} {value}" for name, value in policy.items())


class PolicyMiddleware:
    """Send the same header as Django 6.0 and later."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._policy = format_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers.setdefault(HEADER, self._policy)
        return response
