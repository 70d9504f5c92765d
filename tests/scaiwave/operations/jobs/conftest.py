"""A Redis for the queue, in this process and for the processes that a test starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings
from redis import Redis


@pytest.fixture
def redis(redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    settings.REDIS_URL = redis_url
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", redis_url)
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client
        client.flushdb()
