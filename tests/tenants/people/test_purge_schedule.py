"""The nightly job, in its own process and with a real Redis."""

from __future__ import annotations

from datetime import datetime

import pytest
from redis import Redis

from tests.databases import copy_database
from tests.queue_helpers import plant_call, run_scheduler, run_worker, use_redis

pytestmark = [pytest.mark.sandbox(people=3, tenants=2, groups=1), pytest.mark.dated]


@pytest.fixture
def redis(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Redis:
    return use_redis(monkeypatch, redis_url, {"SCAIWAVE_PURGE_AFTER_DAYS": "90"})


def test_success_a_worker_purges(redis: Redis, migrated: str, database_url: str) -> None:
    copy_database(migrated, database_url)
    plant_call(redis, "job", "tenants.jobs.purge_participants")
    assert "Job completed: purge_participants (job)" in run_worker()


def test_success_every_night_if_it_is_turned_on(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_run = datetime.fromisoformat(run_scheduler(redis)["purge_participants"]).astimezone()
    assert (next_run.hour, next_run.minute) == (4, 23), "in the time zone of the host"
    monkeypatch.delenv("SCAIWAVE_PURGE_AFTER_DAYS")
    redis.flushdb()
    assert "purge_participants" not in run_scheduler(redis)
