"""Responses that are sent while they are built."""

from __future__ import annotations

from django.http import HttpRequest


def can_detect_abort(request: HttpRequest) -> bool:
    """Return whether the client can tell an interrupted response from a complete one.

    An HTTP/1.0 response ends when the connection closes, so neither the client nor a proxy can.
    """
    return request.META.get("SERVER_PROTOCOL") != "HTTP/1.0"
