"""The schedule and the worker, in their own processes and with a real Redis."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from identity_sync.reports.schedule import SCHEDULED_MINUTES
from scaiwave.operations.jobs.scheduler import Scheduler
from scaiwave.queue.heartbeats import ENQUEUED_KEY, SCHEDULERS_KEY, read_enqueued_at
from scaiwave.queue.jobs import JOBS, SYNC_CRON
from scaiwave.sandbox import Sandbox
from tests.databases import RawDatabase, copy_database
from tests.queue_helpers import (
    MANAGE,
    SUITE,
    expire_heartbeats,
    plant_call,
    plant_scheduler,
    run_worker,
    start_suite,
    stop,
    use_redis,
    wait_until,
)
from tests.scaiwave.cli_helpers import run_process
from tests.scaiwave.operations.jobs.test_processes import kill_job
from tests.tenants.fake_scaikey import get_credentials

pytestmark = pytest.mark.dated


@pytest.fixture
def redis(
    migrated: str,
    database_url: str,
    redis_url: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Redis:
    """A Redis for processes that have a migrated database and the credentials of a sandbox."""
    environment = get_credentials(sandbox)
    copy_database(migrated, database_url)
    return use_redis(monkeypatch, redis_url, environment)


def load_runs() -> list[dict[str, object]]:
    dump = subprocess.run(
        [*MANAGE, "dumpdata", "identity_sync.syncrun"], check=True, capture_output=True
    )
    return [row["fields"] for row in json.loads(dump.stdout)]


@pytest.mark.sandbox(people=20, tenants=3, groups=4)
def test_success_a_worker_runs_the_job_and_leaves_a_run(redis: Redis) -> None:
    """It does as the host operator, also where people need a token."""
    plant_call(redis, "job", "identity_sync.jobs.full_sync")
    run_worker(SCAIWAVE_REQUIRE_ADMIN_TOKEN="true")
    (run,) = load_runs()
    assert (run["trigger"], run["outcome"], run["error_code"]) == ("cron", "applied", "")
    assert run["counts"]["participants"]["added"] == 20  # type: ignore[index]


@pytest.mark.sandbox(people=20, tenants=3, groups=4)
def test_success_status_and_doctor_detect_the_scheduler(redis: Redis) -> None:
    before = run_process([*SUITE, "sync", "status", "--no-drift", "--exit-zero", "--json"])
    status = json.loads(before.out)
    assert (status["schedule"]["source"], status["next_run_at"]) == (None, None)
    assert "No scheduler detected: no scheduled sync has run yet." in status["warnings"]
    with start_suite("scheduler") as scheduler:
        wait_until(lambda: redis.hlen("scaiwave:schedulers"))
        during = run_process([*SUITE, "sync", "status", "--no-drift", "--exit-zero", "--json"])
        checks = json.loads(run_process([*SUITE, "doctor", "--json"]).out)["checks"]
        stop(scheduler)
    status = json.loads(during.out)
    assert status["schedule"]["source"] == "scheduler"
    assert status["schedule"]["scheduler"]["is_active"] is True
    assert datetime.fromisoformat(status["next_run_at"]).minute in SCHEDULED_MINUTES
    assert not any("scheduler" in warning for warning in status["warnings"])
    (check,) = [check for check in checks if check["check"] == "scheduler"]
    assert check["state"] == "pass"


@pytest.mark.sandbox(people=20, tenants=3, groups=4)
def test_fail_a_killed_scheduler_is_reported_at_once(redis: Redis) -> None:
    """The sync that it started is only moments old, and no one starts the next one."""
    now = datetime.now(UTC)
    with start_suite("scheduler") as scheduler:
        wait_until(lambda: redis.hlen(SCHEDULERS_KEY))
        scheduler.kill()
        scheduler.wait()
    redis.set(ENQUEUED_KEY.format("full_sync"), int(now.timestamp()))
    redis.delete(SCHEDULERS_KEY)  # It expires 30 seconds later.
    plant_call(redis, "job", "identity_sync.jobs.full_sync")
    run_worker()
    status = json.loads(run_process([*SUITE, "sync", "status", "--no-drift", "--json"]).out)
    assert status["schedule"]["source"] is None
    assert status["next_run_at"] is None
    assert (
        "The scheduler that started the last sync, less than a minute ago, has stopped."
        in (status["warnings"])
    )
    assert get_scheduler_check() == "warn"
    # After the next time of the schedule, a scheduled sync is one of cron.
    redis.set(ENQUEUED_KEY.format("full_sync"), int((now - timedelta(minutes=10)).timestamp()))
    assert get_scheduler_check() == "pass"
    for damaged in (b"soon", b"9" * 19, b"9" * 10_000, b""):
        redis.set(ENQUEUED_KEY.format("full_sync"), damaged)
        assert read_enqueued_at(redis, "full_sync") is None


def test_success_the_scheduler_leaves_when_it_enqueued(redis: Redis) -> None:
    due = datetime(2026, 11, 24, 12, 3, tzinfo=UTC)
    times = iter([due - timedelta(seconds=30)] * 2 + [due + timedelta(seconds=1)] * 9)
    scheduler = Scheduler(redis, [JOBS["identity_sync.jobs.full_sync"]], lambda: next(times))
    scheduler.step()
    assert read_enqueued_at(redis, "full_sync") is None
    scheduler.step()
    assert read_enqueued_at(redis, "full_sync") == due


@pytest.mark.sandbox(people=20, tenants=3, groups=4)
def test_fail_a_scheduler_whose_clock_is_wrong(redis: Redis) -> None:
    now = datetime.now(UTC)
    for wrong in (timedelta(days=10), timedelta(minutes=21), timedelta(hours=-2)):
        planned = now + wrong
        plant_scheduler(redis, "far", next_runs={"full_sync": planned.isoformat()})
        check = find_scheduler_check()
        assert check["state"] == "warn"
        assert f"plans the next sync for {planned:%Y-%m-%d %H:%M} UTC" in check["message"]
        shown = run_process([*SUITE, "sync", "status", "--no-drift", "--exit-zero", "--json"])
        assert check["message"] in json.loads(shown.out)["warnings"]
    planned = now + timedelta(minutes=9)
    plant_scheduler(redis, "far", next_runs={"full_sync": planned.isoformat()})
    check = find_scheduler_check()
    assert check["state"] == "pass"
    assert f"next sync at {planned:%Y-%m-%d %H:%M} UTC" in check["message"]


@pytest.mark.sandbox(people=5, tenants=2, groups=1)
@pytest.mark.parametrize("end", ["stopped", "killed", "lost"])
def test_success_the_run_of_a_job_that_ends_early_is_recorded_at_once(
    end: str, redis: Redis, sandbox: Sandbox, database_url: str
) -> None:
    sandbox.latency = 5
    plant_call(redis, "job", "identity_sync.jobs.full_sync")
    database = RawDatabase(database_url)
    with start_suite("worker", "--grace", "0") as worker:
        wait_until(lambda: database.rows("SELECT id FROM sw_sync_runs WHERE outcome = 'running'"))
        if end == "killed":
            kill_job(worker)
            wait_until(lambda: redis.hget("rq:job:job", "status") == b"failed")
        if end == "lost":
            worker.send_signal(signal.SIGSTOP)  # so that it does not notice the end of its job
            kill_job(worker)
            worker.kill()
        else:
            stop(worker)
    if end == "lost":
        expire_heartbeats(redis)
        run_worker()
    rows = database.rows("SELECT outcome, error_code, error_message FROM sw_sync_runs")
    reason = {
        "stopped": "The worker was stopped during this run.",
        "killed": "The process of the job ended by signal 9.",
        "lost": "The worker was killed, or its host failed.",
    }
    message = f"{reason[end]} No partial changes were made."
    assert rows == [("failed", "SW_SYNC_INTERRUPTED", message)]
    sandbox.latency = 0
    shown = run_process([*SUITE, "sync", "status", "--no-drift", "--exit-zero", "--json"])
    assert json.loads(shown.out)["interrupted"] is None


def get_scheduler_check() -> str:
    return str(find_scheduler_check()["state"])


def find_scheduler_check() -> dict[str, str]:
    checks = json.loads(run_process([*SUITE, "doctor", "--json"]).out)["checks"]
    (check,) = [check for check in checks if check["check"] == "scheduler"]
    return dict(check)


def test_success_the_schedule_is_every_ten_minutes_and_never_on_the_full_ten() -> None:
    assert SYNC_CRON == "3-59/10 * * * *"
    assert list(SCHEDULED_MINUTES) == [3, 13, 23, 33, 43, 53]
