"""The hourly job, in its own process and with a real Redis."""

from __future__ import annotations

import subprocess

import pytest
from redis import Redis
from rq import Queue

from scaiwave.sandbox import Sandbox
from tests.queue_helpers import MANAGE, run_scheduler, run_worker, use_redis


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
def test_success_a_worker_fetches_the_usage(redis: Redis) -> None:
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], check=True)
    job = Queue(connection=redis).enqueue("tenants.jobs.refresh_usage")
    run_worker()
    result = job.return_value()
    assert result is not None
    assert (result["updated_tenants"], len(result["unknown_group_keys"])) == (0, 2)


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_one_schedule_has_both_jobs(redis: Redis) -> None:
    output = run_scheduler(redis)
    assert "identity_sync.jobs.full_sync" in output
    assert "tenants.jobs.refresh_usage" in output
    assert "7 * * * *" in output


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_without_scaigrid_there_is_nothing_to_fetch(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCAIWAVE_SCAIGRID_URL")
    output = run_scheduler(redis)
    assert "identity_sync.jobs.full_sync" in output
    assert "refresh_usage" not in output
