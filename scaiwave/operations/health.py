"""Answers for load balancers and monitors (ScaiWave docs, reference/api/health-and-metrics).

They are outside the envelope of the API and need no token. Strangers see availability only.
"""

from __future__ import annotations

import hmac
from importlib.metadata import version
from ipaddress import ip_address

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from scaiwave.auth.bearer import get_client_address
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.storage.schema_version import is_migrated
from scaiwave.web.api import api_view

_FORWARDED_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP")

OK, UNAVAILABLE, UNMIGRATED = "ok", "unavailable", "unmigrated"
NOT_CONFIGURED = "not_configured"
"""A server without Redis does not need it."""


@api_view("GET", "HEAD")
def health(request: HttpRequest) -> HttpResponse:
    """Check every server that this one needs: 503 if one of them is unavailable."""
    return _respond(request, {"database": _check_database(), "redis": _check_redis()})


@api_view("GET", "HEAD")
def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process does: if it does not, it should be restarted."""
    return JsonResponse({"status": OK})


@api_view("GET", "HEAD")
def ready(request: HttpRequest) -> HttpResponse:
    """Check what every request needs: without it, no request should be sent here.

    Redis is not among them: without it only jobs wait.
    """
    return _respond(request, {"database": _check_database()})


def is_monitor(request: HttpRequest) -> bool:
    """Whether it comes from this host through no proxy, or with SCAIWAVE_METRICS_TOKEN."""
    expected = settings.CONFIG.get_str("SCAIWAVE_METRICS_TOKEN")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if expected and scheme.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), expected.encode())
    if any(name in request.headers for name in _FORWARDED_HEADERS):
        return False
    try:
        return ip_address(get_client_address(request)).is_loopback
    except ValueError:
        return False


def _respond(request: HttpRequest, results: dict[str, str]) -> HttpResponse:
    is_ok = {*results.values()} <= {OK, NOT_CONFIGURED}
    if is_monitor(request):  # A version names the faults that were corrected later.
        results["version"] = version("scaiwave")
    body = {"status": OK if is_ok else UNAVAILABLE, "checks": results}
    response = JsonResponse(body, status=200 if is_ok else 503)
    response["Cache-Control"] = "no-store"
    return response


def _check_database() -> str:
    """A database without this suite's tables is unavailable too."""
    return {True: OK, False: UNMIGRATED, None: UNAVAILABLE}[is_migrated(connection)]


def _check_redis() -> str:
    if not settings.REDIS_URL:
        return NOT_CONFIGURED
    try:
        with open_redis() as redis:
            return OK if redis.ping() else UNAVAILABLE
    except RedisUnreachable:
        return UNAVAILABLE
