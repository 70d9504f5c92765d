"""Run the scheduler and the worker in their own processes, with a real Redis."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from redis import Redis

MANAGE = [sys.executable, "-m", "scaiwave.cli", "manage"]


def use_redis(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, environment: dict[str, str]
) -> Redis:
    """Give an empty Redis and other environment variables to the processes of a test."""
    for name, value in {"SCAIWAVE_REDIS_URL": redis_url, **environment}.items():
        monkeypatch.setenv(name, value)
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    return redis


def run_worker() -> None:
    """Run the queued jobs."""
    subprocess.run([*MANAGE, "rqworker", "--burst", "default"], check=True, capture_output=True)


def run_scheduler(redis: Redis) -> str:
    """Run the scheduler until it has registered its jobs, and return its output."""
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
        output, _ = scheduler.communicate(timeout=30)
    return output
