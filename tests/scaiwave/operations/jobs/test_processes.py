"""The worker and the scheduler in their own processes, with a real Redis that is also restarted."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisError
from rq import Queue

from identity_sync.models import LOCK
from identity_sync.reports.schedule import SCHEDULED_MINUTES, get_next_scheduled
from scaiwave.queue.heartbeats import ENQUEUED_KEY
from scaiwave.queue.rq_queue import enqueue_job
from scaiwave.sandbox import Sandbox
from tests.authorisation_fixtures import ENCRYPTION_KEY
from tests.databases import copy_database
from tests.queue_helpers import (
    MANAGE,
    REQUESTED_SYNC,
    SUITE,
    expire_heartbeats,
    plant_call,
    run_worker,
    start_suite,
    stop,
    take,
    use_redis,
    wait_until,
)
from tests.scaiwave.cli_helpers import run_process
from tests.services.redis import start_redis
from tests.services.unprivileged_user import ServiceUser
from tests.test_json_output import match, read_page
from tests.tools import NIGHTLY

pytestmark = [pytest.mark.redis, pytest.mark.once, pytest.mark.only_on("sqlite")]
SYNC = "identity_sync.jobs.full_sync"


@pytest.fixture
def redis(
    empty_database: str,
    database_url: str,
    redis_url: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Redis:
    environment = {
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
    }
    copy_database(empty_database, database_url)
    return use_redis(monkeypatch, redis_url, environment)


@contextmanager
def blocked_syncs(home: Path) -> Iterator[None]:
    """Have the lock of syncs, so that a job waits for it until its own time limit."""
    (home / "locks").mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(home / "locks" / f"{LOCK}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def kill_job(worker: subprocess.Popen[str]) -> None:
    """Kill the process of the job, which has its own process group."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text()
    (child,) = map(int, children.split())
    os.kill(child, signal.SIGKILL)


def is_running(redis: Redis, job_id: str = "job") -> bool:
    return redis.hget(f"rq:job:{job_id}", "status") == b"started"


def has_attempts(redis: Redis, attempts: bytes) -> bool:
    return redis.hget("rq:job:job", "attempts") == attempts


def mark_scheduled_syncs(redis: Redis) -> None:
    """Let the scheduler take the syncs that are due now for enqueued: one would hold up the job."""
    soon = datetime.now(UTC) + timedelta(minutes=1)
    due = get_next_scheduled(soon - timedelta(minutes=SCHEDULED_MINUTES.step))
    redis.set(ENQUEUED_KEY.format("full_sync"), int(due.timestamp()))


def list_jobs() -> list[dict[str, object]]:
    listed = subprocess.run([*SUITE, "jobs", "list", "--json"], check=True, capture_output=True)
    jobs: list[dict[str, object]] = json.loads(listed.stdout)["jobs"]
    return jobs


def test_success_planted_jobs_are_refused_logged_and_counted(redis: Redis) -> None:
    Queue(connection=redis).enqueue("tenants.jobs.refresh_usage")  # as in the release 0.1
    plant_call(redis, "foreign", "subprocess.run", ["touch", "planted"])
    plant_call(redis, "good", "tenants.jobs.purge_participants")
    log = run_worker()
    assert log.count("SW_JOB_REFUSED") == 2
    assert "it is pickled, as in earlier releases. [SW_JOB_REFUSED]" in log
    refused = "foreign: subprocess.run is not a function that workers may run. [SW_JOB_REFUSED]"
    assert f"Job refused: {refused}" in log
    assert "Job completed: purge_participants (good)" in log
    assert redis.zcard("rq:failed:default") == 2
    dump = subprocess.run([*MANAGE, "dumpdata", "tenants.counter"], check=True, capture_output=True)
    counts = {row["fields"]["labels"]: row["fields"]["value"] for row in json.loads(dump.stdout)}
    assert counts == {'{"reason": "format"}': 1, '{"reason": "function"}': 1}


def test_success_a_failed_job_is_one_line_with_its_fix(redis: Redis) -> None:
    plant_call(redis, "job", SYNC)
    log = run_worker(SCAIWAVE_SCAIKEY_CLIENT_SECRET="", SCAIWAVE_LOG_FORMAT="json")
    lines = [json.loads(line) for line in log.splitlines()]
    (error,) = [line for line in lines if line["level"] == "ERROR"]
    assert error["code"] == "SW_SYNC_CREDENTIALS_INCOMPLETE"
    assert error["fix"].startswith(
        "Set it in the configuration file, or run `scaiwave sync register`"
    )
    assert (error["job_id"], error["function"]) == ("job", SYNC)
    (job,) = list_jobs()
    assert (job["id"], job["state"]) == ("job", "failed")
    assert redis.hgetall("rq:job:job").keys().isdisjoint({b"exc_info", b"result"})


def test_success_without_a_database_the_worker_goes_on(redis: Redis) -> None:
    """It refuses what it must not run, and its own jobs fail."""
    plant_call(redis, "foreign", "subprocess.run", ["id"])
    plant_call(redis, "job", SYNC)
    secrets = {"SCAIWAVE_SECRET_KEY": "x" * 50, "SCAIWAVE_ENCRYPTION_KEYS": ENCRYPTION_KEY}
    log = run_worker(SCAIWAVE_DB_URL="postgres://user:geheim77@127.0.0.1:1/name", **secrets)
    assert "SW_JOB_REFUSED" in log
    assert log.count("[SW_DATABASE_UNREACHABLE]") == 2
    assert "Traceback" not in log
    assert "geheim" not in log


def test_success_json_counts_the_jobs(redis: Redis) -> None:
    plant_call(redis, "failing", SYNC)
    plant_call(redis, "foreign", "os.abort")
    plant_call(redis, "good", "tenants.jobs.purge_participants")
    ended = run_process([*SUITE, "worker", "--burst", "--json"], SCAIWAVE_SCAIKEY_CLIENT_SECRET="")
    document = json.loads(ended.out)
    assert document == {"completed": 1, "failed": 1, "put_back": 0, "refused": 1}
    assert match(document, read_page()["worker",])
    assert ended.err == ""


@pytest.mark.sandbox(people=5, tenants=2, groups=1)
def test_success_sigterm_lets_the_job_finish(redis: Redis, home: Path) -> None:
    plant_call(redis, "job", SYNC)
    with start_suite("worker", "--grace", "30") as worker:
        with blocked_syncs(home):
            wait_until(lambda: is_running(redis))
            os.killpg(worker.pid, signal.SIGTERM)  # to the process of the job too, as systemd does
            assert worker.poll() is None
        _, log = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert "Job completed: full_sync (job)" in log
    assert list_jobs() == []


@pytest.mark.sandbox(people=5, tenants=2, groups=1)
def test_success_after_the_grace_period_the_job_is_put_back(redis: Redis, home: Path) -> None:
    enqueue_job(redis, SYNC, job_id="job")
    with blocked_syncs(home), start_suite("worker", "--grace", "0") as worker:
        wait_until(lambda: is_running(redis))
        plant_call(redis, "later", SYNC)
        log = stop(worker)
    assert "Job put back into the queue: full_sync (job)." in log
    assert redis.lrange("rq:queue:default", 0, -1) == [b"job", b"later"]
    assert redis.keys("rq:execution*") == redis.keys("rq:wip*") == []
    assert "Job completed: full_sync (job)" in run_worker()


@pytest.mark.sandbox(people=5, tenants=2, groups=1)
def test_success_a_killed_job_and_a_killed_worker(redis: Redis, home: Path) -> None:
    """Each job that may be repeated starts once more, and fails if it is killed again."""
    enqueue_job(redis, SYNC, job_id="job")
    plant_call(redis, "once", *REQUESTED_SYNC, status="started")
    redis.lrem("rq:queue:default", 1, "once")
    redis.zadd("rq:wip:default", {"once:execution": 1})
    with blocked_syncs(home), start_suite("worker") as worker:
        for attempt in (b"1", b"2"):
            wait_until(partial(has_attempts, redis, attempt))
            kill_job(worker)
        wait_until(lambda: redis.hget("rq:job:job", "status") == b"failed")
        assert redis.hget("rq:job:once", "error_code") == b"SW_JOB_KILLED", "it is not repeated"
        enqueue_job(redis, SYNC, job_id="second")
        wait_until(lambda: is_running(redis, "second"))
        worker.send_signal(signal.SIGSTOP)  # so that it does not notice the end of its job
        kill_job(worker)
        worker.kill()
        _, log = worker.communicate(timeout=30)
    assert log.count("The process of the job ended by signal 9. [SW_JOB_KILLED]") == 2
    expire_heartbeats(redis)
    log = run_worker()
    assert "The worker was killed, or its host failed. [SW_JOB_KILLED]" in log
    assert "Job completed: full_sync (second)" in log
    assert {job["id"] for job in list_jobs()} == {"job", "once"}
    assert redis.keys("rq:executions:*") == []


@pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set.")
@pytest.mark.parametrize("is_repeated", [True, False])
@pytest.mark.sandbox(people=5, tenants=2, groups=1)
def test_success_within_two_minutes_a_job_starts_again_or_fails(
    is_repeated: bool, redis: Redis, home: Path
) -> None:
    """Nothing but the silence of the worker shows it to the other processes."""
    name, value = ("attempts", b"2") if is_repeated else ("status", b"failed")
    with blocked_syncs(home), start_suite("worker") as first, start_suite("worker") as other:
        wait_until(lambda: redis.scard("rq:workers") == 2)
        enqueue_job(redis, SYNC, job_id="job")
        wait_until(lambda: is_running(redis))
        if not is_repeated:  # This is its second start.
            redis.hdel("rq:job:job", "retries_left")
        name_of_worker: Any = redis.hget("rq:job:job", "worker_name")
        pid = redis.hget(f"rq:worker:{name_of_worker.decode()}", "pid")
        worker = first if pid == b"%d" % first.pid else other
        worker.send_signal(signal.SIGSTOP)  # so that it does not notice the end of its job
        kill_job(worker)
        worker.kill()
        wait_until(lambda: redis.hget("rq:job:job", name) == value, seconds=120)
    assert redis.hget("rq:job:job", name) == value


def test_success_a_job_that_a_killed_worker_had_not_started(redis: Redis) -> None:
    """Its ID is neither in the queue nor in a registry."""
    enqueue_job(redis, "tenants.jobs.purge_participants", job_id="job")
    assert take(redis, "background") is not None
    assert redis.llen("rq:queue:background") == 0
    assert "Job completed" not in run_worker()
    (key,) = redis.keys("rq:queue:background:intermediate:first_seen:job")
    redis.set(key, time.time() - 61)
    redis.delete("rq:clean_registries:background")
    log = run_worker()
    assert "Job put back into the queue: purge_participants (job)." in log
    assert "Job completed: purge_participants (job)" in log
    assert redis.llen("rq:queue:background:intermediate") == redis.exists("rq:job:job") == 0


@pytest.mark.sandbox(people=5, tenants=2, groups=1)
def test_success_the_limit_of_a_scheduled_sync(redis: Redis, home: Path) -> None:
    plant_call(redis, "job", SYNC)
    with blocked_syncs(home):
        log = run_worker(SCAIWAVE_SYNC_TIMEOUT_SECONDS="1")
    assert "[SW_SYNC_TIMEOUT]" in log
    assert "Traceback" not in log


@pytest.fixture
def own_redis(tmp_path: Path) -> Path:
    """A directory for a Redis that the test starts and stops."""
    directory = Path(os.path.realpath(tmp_path)) / "redis"
    directory.mkdir()
    return directory


@pytest.mark.sandbox(people=5, tenants=2, groups=1)
def test_success_redis_is_restarted(
    redis: Redis, home: Path, own_redis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job in progress ends as it should, and the processes continue."""
    server = start_redis(own_redis, ServiceUser())
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", server.url)
    redis = Redis.from_url(server.url)
    mark_scheduled_syncs(redis)
    logs = [own_redis / "worker.log", own_redis / "scheduler.log"]

    def are_up() -> bool:
        try:
            return bool(redis.scard("rq:workers") and redis.hlen("scaiwave:schedulers"))
        except RedisError:
            return False

    try:
        with (
            start_suite("worker", log=logs[0]) as worker,
            start_suite("scheduler", log=logs[1]) as scheduler,
        ):
            wait_until(are_up)
            plant_call(redis, "sync", SYNC)
            with blocked_syncs(home):
                wait_until(lambda: is_running(redis, "sync"))
                server.stop()
            wait_until(lambda: "Job completed: full_sync (sync)" in logs[0].read_text())
            wait_until(lambda: "SW_REDIS_UNREACHABLE" in logs[1].read_text())
            refused = run_process([*SUITE, "jobs", "list"])
            assert (refused.code, "[SW_REDIS_UNREACHABLE]" in refused.err) == (2, True)
            server = start_redis(own_redis, ServiceUser())  # without its data
            wait_until(are_up)
            plant_call(redis, "job", "tenants.jobs.purge_participants")
            wait_until(lambda: not redis.exists("rq:job:job"))
            server.stop()
            wait_until(lambda: logs[1].read_text().count("SW_REDIS_UNREACHABLE") == 2)
            server = start_redis(own_redis, ServiceUser())
            wait_until(are_up)
            stop(worker)
            stop(scheduler)
    finally:
        server.stop()
    texts = [log.read_text() for log in logs]
    for log in texts:
        assert "Traceback" not in log
    # A line for each time, however long it was.
    assert texts[1].count("SW_REDIS_UNREACHABLE") == 2
    assert texts[1].count("Redis is available again.") == 2
    assert "Job completed: purge_participants (job)" in texts[0]


def test_success_a_second_scheduler_takes_over_at_once(redis: Redis) -> None:
    with start_suite("scheduler") as first:
        wait_until(lambda: redis.exists("scaiwave:scheduler:lock"))
        with start_suite("scheduler") as second:
            wait_until(lambda: redis.hlen("scaiwave:schedulers") == 2)
            stop(first)
            wait_until(lambda: redis.exists("scaiwave:scheduler:lock"), seconds=10)
            assert "is active." in stop(second)
    assert not redis.exists("scaiwave:scheduler:lock")


@pytest.mark.parametrize("word", ["worker", "scheduler"])
def test_fail_without_redis_and_with_an_expired_token(
    word: str, redis: Redis, sandbox: Sandbox
) -> None:
    expired = run_process(
        [*SUITE, word], SCAIWAVE_ADMIN_TOKEN=sandbox.issue_token(role="super_admin", exp=1)
    )
    assert (expired.code, "[SW_AUTH_EXPIRED_TOKEN]" in expired.err) == (3, True)
    down = run_process([*SUITE, word], SCAIWAVE_REDIS_URL="redis://:geheim77@127.0.0.1:1/0")
    assert (down.code, "[SW_REDIS_UNREACHABLE]" in down.err) == (2, True)
    assert "geheim" not in down.err
    absent = run_process([*SUITE, word], SCAIWAVE_REDIS_URL="")
    assert (absent.code, "[SW_REDIS_NOT_CONFIGURED]" in absent.err) == (2, True)


def test_fail_unknown_queue_and_commands_of_rq(redis: Redis) -> None:
    listed = run_process([*MANAGE, "help", "--commands"]).out.split()
    assert [name for name in listed if name.startswith("rq")] == ["rqworker"]
    unknown = run_process([*SUITE, "worker", "high"])
    assert (unknown.code, "[SW_QUEUE_UNKNOWN]" in unknown.err) == (2, True)
    refused = run_process([*MANAGE, "rqcron", "default"])
    assert (refused.code, "Fix: Run `scaiwave scheduler`." in refused.err) == (2, True)
