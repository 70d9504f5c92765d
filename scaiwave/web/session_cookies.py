"""Sessions: the names of their values, and cookies that can't belong to one."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

OPERATOR_KEY, SIGN_IN_KEY = "scaikey_operator", "signed_in"
"""Where a session keeps the operator of a sign-in with ScaiKey, and when and where it began."""

_SESSION_KEY = re.compile(r"[a-z0-9]+")


class SessionCookieMiddleware:
    """Ignore a cookie that can't be the key of a session.

    If it is quoted, it can contain a null character, which PostgreSQL refuses in a text.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if key is not None and not _SESSION_KEY.fullmatch(key):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        return self._get_response(request)
