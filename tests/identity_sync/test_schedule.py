"""The schedule and the worker, in their own processes and with a real Redis."""

from __future__ import annotations

import json
import subprocess

import pytest
from pytest_django import Settings
from redis import Redis
from rq import Queue, SimpleWorker
from rq.cron import CronScheduler

from identity_sync.queries.status import SCHEDULED_MINUTES
from identity_sync.schedule import SYNC_CRON
from scaiwave.config import load
from scaiwave.sandbox import Sandbox
from tests.queue_helpers import MANAGE, run_scheduler, run_worker, use_redis


@pytest.fixture
def redis(
    database_url: str,
    redis_url: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Redis:
    """A Redis for processes that have a migrated database and the credentials of a sandbox."""
    environment = {
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
    }
    redis = use_redis(monkeypatch, redis_url, environment)
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], check=True)
    return redis


def load_runs() -> list[dict[str, object]]:
    dump = subprocess.run(
        [*MANAGE, "dumpdata", "identity_sync.syncrun"], check=True, capture_output=True
    )
    return [row["fields"] for row in json.loads(dump.stdout)]


@pytest.mark.sandbox(people=20, tenants=3, groups=4)
def test_success_a_worker_runs_the_job_and_leaves_a_run(redis: Redis) -> None:
    enqueue = (
        "import django_rq; from identity_sync.jobs import full_sync; "
        "django_rq.get_queue('default').enqueue(full_sync)"
    )
    subprocess.run([*MANAGE, "shell", "--verbosity", "0", "-c", enqueue], check=True)
    run_worker()
    (run,) = load_runs()
    assert (run["trigger"], run["outcome"], run["error_code"]) == ("cron", "applied", "")
    assert run["counts"]["participants"]["added"] == 20  # type: ignore[index]


@pytest.mark.sandbox(people=20, tenants=3, groups=4)
def test_success_the_scheduler_announces_the_job_and_stops_on_sigterm(redis: Redis) -> None:
    output = run_scheduler(redis)
    assert "identity_sync.jobs.full_sync" in output
    assert SYNC_CRON in output


def test_success_a_job_expires_before_the_next_one(redis_url: str, settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_SCAIGRID_URL": "http://127.0.0.1:1"})
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    scheduler = CronScheduler(connection=redis)
    scheduler.load_config_from_file("identity_sync.schedule")
    lifetimes = {}
    for cron_job in scheduler.get_jobs():
        job = cron_job.enqueue(redis)
        lifetimes[job.func_name] = redis.ttl(job.key)
        assert job.failure_ttl == 7 * 24 * 3600
    assert 530 < lifetimes["identity_sync.jobs.full_sync"] <= 540
    assert 3530 < lifetimes["tenants.jobs.refresh_usage"] <= 3540
    redis.delete(*redis.keys("rq:job:*"))  # As Redis does when they expire.
    worker = SimpleWorker([Queue("default", connection=redis)], connection=redis)
    assert worker.work(burst=True) is False


def test_success_the_schedule_is_every_ten_minutes_and_never_on_the_full_ten() -> None:
    assert SYNC_CRON == "3-59/10 * * * *"
    assert list(SCHEDULED_MINUTES) == [3, 13, 23, 33, 43, 53]
