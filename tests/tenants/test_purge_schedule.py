"""The nightly job, in its own process and with a real Redis."""

from __future__ import annotations

import subprocess

import pytest
from redis import Redis
from rq import Queue

from tests.queue_helpers import MANAGE, run_scheduler, run_worker, use_redis

pytestmark = pytest.mark.sandbox(people=3, tenants=2, groups=1)


@pytest.fixture
def redis(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Redis:
    return use_redis(monkeypatch, redis_url, {"SCAIWAVE_PURGE_AFTER_DAYS": "90"})


def test_success_a_worker_purges(redis: Redis) -> None:
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], check=True)
    job = Queue(connection=redis).enqueue("tenants.jobs.purge_participants")
    run_worker()
    assert job.return_value() == {"due": 0, "purged": 0}


def test_success_every_night_if_it_is_turned_on(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run_scheduler(redis)
    assert "tenants.jobs.purge_participants" in output
    assert "23 4 * * *" in output
    monkeypatch.delenv("SCAIWAVE_PURGE_AFTER_DAYS")
    redis.flushdb()
    assert "purge_participants" not in run_scheduler(redis)
