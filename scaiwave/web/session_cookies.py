"""Cookies that can't belong to a session."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

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
