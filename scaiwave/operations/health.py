"""Answers for load balancers and monitors (ScaiWave docs, reference/api/health-and-metrics).

They are outside the envelope of the API, need no token, and report availability only.
"""

from __future__ import annotations

from importlib.metadata import version

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.storage.schema_version import is_migrated
from scaiwave.web.api import api_view

OK, UNAVAILABLE, UNMIGRATED = "ok", "unavailable", "unmigrated"

REDIS_TIMEOUT_SECONDS = 2.0
"""A monitor waits for the answer."""


@api_view("GET", "HEAD")
def health(request: HttpRequest) -> HttpResponse:
    """Check every server that this one needs: 503 if one of them is unavailable."""
    return _respond({"database": _check_database(), "redis": _check_redis()})


@api_view("GET", "HEAD")
def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process does: if it does not, it should be restarted."""
    return JsonResponse({"status": OK})


@api_view("GET", "HEAD")
def ready(request: HttpRequest) -> HttpResponse:
    """Check what every request needs: without it, no request should be sent here.

    Redis is not among them: without it only jobs wait.
    """
    return _respond({"database": _check_database()})


def _respond(results: dict[str, str]) -> HttpResponse:
    is_ok = {*results.values()} == {OK}
    body = {
        "status": OK if is_ok else UNAVAILABLE,
        "checks": {**results, "version": version("scaiwave")},
    }
    response = JsonResponse(body, status=200 if is_ok else 503)
    response["Cache-Control"] = "no-store"
    return response


def _check_database() -> str:
    """A database without this suite's tables is unavailable too."""
    return {True: OK, False: UNMIGRATED, None: UNAVAILABLE}[is_migrated(connection)]


def _check_redis() -> str:
    """A server without Redis does not need it."""
    if not settings.REDIS_URL:
        return OK
    try:
        with open_redis(timeout=REDIS_TIMEOUT_SECONDS) as redis:
            return OK if redis.ping() else UNAVAILABLE
    except RedisUnreachable:
        return UNAVAILABLE
