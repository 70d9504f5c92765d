"""`/health`, `/health/live` and `/health/ready`."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from scaiwave.config import load
from tests.scaiwave.storage.test_error_mapping_postgresql import free_port

pytestmark = pytest.mark.dated

ADDRESSES = ("/health", "/health/live", "/health/ready")


@pytest.mark.django_db
def test_success() -> None:
    response = Client().get("/health")
    assert (response.status_code, response.json()) == (
        200,
        {
            "status": "ok",
            "checks": {
                "database": "ok",
                "redis": "not_configured",
                "version": version("scaiwave"),
            },
        },
    )
    assert response.headers["Cache-Control"] == "no-store"
    assert Client().get("/health/ready").json()["status"] == "ok"


@pytest.mark.django_db
def test_success_only_monitors_see_the_version(settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_METRICS_TOKEN": "geheim"})
    for headers, sees in (
        ({"X-Forwarded-For": "203.0.113.9"}, False),
        ({"X-Forwarded-Proto": "https"}, False),
        ({"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer geheim"}, True),
    ):
        for address in ("/health", "/health/ready"):
            checks = Client().get(address, headers=headers).json()["checks"]
            assert ("version" in checks) == sees
    assert "version" not in Client(REMOTE_ADDR="203.0.113.9").get("/health").json()["checks"]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_success_needs_no_token_and_sets_no_cookie(address: str) -> None:
    response = Client().get(address)
    assert response.status_code == 200
    assert not response.cookies
    assert Client().head(address).status_code == 200
    assert Client().post(address).status_code == 405


@pytest.mark.django_db
@pytest.mark.redis
def test_success_with_redis(redis_url: str, settings: Settings) -> None:
    settings.REDIS_URL = redis_url
    assert Client().get("/health").json()["checks"]["redis"] == "ok"


@pytest.mark.django_db
def test_fail_redis_is_down(settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    response = Client().get("/health")
    assert response.status_code == 503
    assert response.json()["checks"]["redis"] == "unavailable"
    assert response.json()["status"] == "unavailable"
    # Requests are still answered.
    assert Client().get("/health/ready").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_fail_database_has_no_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO hidden_migrations")
    try:
        responses = {address: Client().get(address) for address in ADDRESSES}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden_migrations RENAME TO django_migrations")
    assert {address: response.status_code for address, response in responses.items()} == {
        "/health": 503,
        "/health/live": 200,
        "/health/ready": 503,
    }
    assert responses["/health"].json()["checks"]["database"] == "unavailable"
