"""Answers for load balancers and monitors (ScaiWave docs, reference/api/health-and-metrics).

They are outside the envelope of the API, need no token, and report availability only.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.web.api import api_view

OK, UNAVAILABLE = "ok", "unavailable"

REDIS_TIMEOUT_SECONDS = 2.0
"""A monitor waits for the answer."""


@api_view("GET", "HEAD")
def health(request: HttpRequest) -> HttpResponse:
    """Check every server that this one needs: 503 if one of them is unavailable."""
    return _respond(_run({"database": _is_database_up, "redis": _is_redis_up}))


@api_view("GET", "HEAD")
def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process does: if it does not, it should be restarted."""
    return JsonResponse({"status": OK})


@api_view("GET", "HEAD")
def ready(request: HttpRequest) -> HttpResponse:
    """Check what every request needs: without it, no request should be sent here.

    Redis is not among them: without it only jobs wait.
    """
    return _respond(_run({"database": _is_database_up}))


def _run(checks: dict[str, Callable[[], bool]]) -> dict[str, str]:
    return {name: OK if check() else UNAVAILABLE for name, check in checks.items()}


def _respond(results: dict[str, str]) -> HttpResponse:
    is_ok = UNAVAILABLE not in results.values()
    body = {
        "status": OK if is_ok else UNAVAILABLE,
        "checks": {**results, "version": version("scaiwave")},
    }
    response = JsonResponse(body, status=200 if is_ok else 503)
    response["Cache-Control"] = "no-store"
    return response


def _is_database_up() -> bool:
    try:
        with connection.cursor() as cursor:
            # Also false for a database without this suite's tables.
            cursor.execute("SELECT 1 FROM django_migrations WHERE app = 'tenants' LIMIT 1")
            return cursor.fetchone() is not None
    except Error:
        return False


def _is_redis_up() -> bool:
    """Whether Redis answers; a server without Redis does not need it."""
    if not settings.REDIS_URL:
        return True
    try:
        with open_redis(timeout=REDIS_TIMEOUT_SECONDS) as redis:
            return bool(redis.ping())
    except RedisUnreachable:
        return False
