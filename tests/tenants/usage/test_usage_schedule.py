"""The hourly job, in its own process and with a real Redis."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime

import pytest
from redis import Redis

from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.queue_helpers import SUITE, plant_call, run_scheduler, run_worker, use_redis

pytestmark = pytest.mark.dated


@pytest.fixture
def redis(
    database_url: str,
    redis_url: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Redis:
    """A Redis for processes that use ScaiGrid, which is a sandbox."""
    environment = {
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        "SCAIWAVE_SCAIGRID_API_KEY": sandbox.scaigrid.api_key,
    }
    return use_redis(monkeypatch, redis_url, environment)


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_a_worker_fetches_the_usage(redis: Redis, migrated: str, database_url: str) -> None:
    copy_database(migrated, database_url)
    plant_call(redis, "job", "tenants.jobs.refresh_usage")
    assert "Job completed: refresh_usage (job)" in run_worker()
    audited = subprocess.run(
        [*SUITE, "admin", "audit", "--action", "refresh-usage", "--json"],
        check=True,
        capture_output=True,
    )
    (entry,) = json.loads(audited.stdout)["audit_entries"]
    assert entry["details"]["updated"] == 0


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_one_schedule_has_both_jobs(redis: Redis) -> None:
    next_runs = run_scheduler(redis)
    assert {"full_sync", "refresh_usage"} <= set(next_runs)
    assert datetime.fromisoformat(next_runs["refresh_usage"]).minute == 7


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_without_scaigrid_there_is_nothing_to_fetch(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCAIWAVE_SCAIGRID_URL")
    assert "refresh_usage" not in run_scheduler(redis)
