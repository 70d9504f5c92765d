"""The hourly job, with a real Redis and in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from redis import Redis
from rq import Queue

from scaiwave.sandbox import Sandbox

MANAGE = [sys.executable, "-m", "scaiwave.cli", "manage"]


@pytest.fixture
def server(
    database_url: str,
    redis_url: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Redis:
    """A server whose processes have Redis and, from a sandbox, ScaiKey and ScaiGrid."""
    values = {
        "SCAIWAVE_REDIS_URL": redis_url,
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        "SCAIWAVE_SCAIGRID_API_KEY": sandbox.scaigrid.api_key,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    return redis


def scheduler_says(redis: Redis) -> str:
    scheduler = subprocess.Popen(
        [*MANAGE, "rqcron", "identity_sync.schedule"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not redis.keys("rq:cron_scheduler*") and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        scheduler.send_signal(signal.SIGTERM)
        said, _ = scheduler.communicate(timeout=30)
    return said


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_a_worker_fetches_the_usage(server: Redis) -> None:
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], check=True)
    job = Queue(connection=server).enqueue("tenants.jobs.refresh_usage")
    subprocess.run([*MANAGE, "rqworker", "--burst", "default"], check=True, capture_output=True)
    result = job.return_value()
    assert result is not None
    assert (result["updated_tenants"], len(result["unknown_group_keys"])) == (0, 2)


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_one_schedule_has_both_jobs(server: Redis) -> None:
    said = scheduler_says(server)
    assert "identity_sync.jobs.full_sync" in said
    assert "tenants.jobs.refresh_usage" in said
    assert "7 * * * *" in said


@pytest.mark.sandbox(people=3, tenants=2, groups=1)
def test_success_without_scaigrid_there_is_nothing_to_fetch(
    server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCAIWAVE_SCAIGRID_URL")
    said = scheduler_says(server)
    assert "identity_sync.jobs.full_sync" in said
    assert "refresh_usage" not in said
