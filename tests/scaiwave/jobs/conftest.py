"""A Redis for the queue, in this process and for the processes that a test starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings
from redis import Redis

from tests.databases import prepared


@pytest.fixture(scope="session")
def empty_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the URL of a migrated database, to copy."""
    with prepared(request, tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def redis(redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    settings.REDIS_URL = redis_url
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", redis_url)
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client
        client.flushdb()
