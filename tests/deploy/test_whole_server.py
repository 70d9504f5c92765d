"""A whole server on loopback: nginx, gunicorn, PostgreSQL, Redis, a worker and a scheduler.

Parts of it are killed, stopped and restarted. Nothing is lost, and an operator sees what happened.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from redis import Redis, RedisError

from identity_sync.models import LOCK
from scaiwave.core.locks import _advisory_key
from scaiwave.sandbox import Sandbox
from tests.databases import RawDatabase, copy_database
from tests.nginx import run_nginx
from tests.queue_helpers import (
    expire_heartbeats,
    plant_call,
    run_worker,
    start_suite,
    stop,
    wait_until,
)
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.scaiwave.operations.jobs.test_processes import kill_job
from tests.services.redis import find_program
from tests.services.unprivileged_user import ServiceUser

pytestmark = [pytest.mark.once, pytest.mark.ci, pytest.mark.only_on("postgresql")]

SYNC = "identity_sync.jobs.full_sync"
WAIT_SECONDS = 90
MEDIA_BYTES = 20_000_000
"""More than sockets buffer, so that an export is in progress until the client has read it."""
# Sample rooms have members of their own; one of them is replaced by a person from ScaiKey.
JOIN = """
    UPDATE sw_room_members m SET participant_id = p.id FROM sw_participants p, sw_tenants t
    WHERE m.id = (SELECT id FROM sw_room_members WHERE tenant_id = p.tenant_id LIMIT 1)
    AND p.id = (SELECT id FROM sw_participants
                WHERE scaikey_id IS NOT NULL AND tenant_id = m.tenant_id LIMIT 1)
    AND t.id = p.tenant_id
    RETURNING p.scaikey_id, t.scaikey_tenant_id, m.room_id
"""
# The scheduler with a clock that is two seconds before the time of a sync.
SCHEDULER = """
import django, signal, sys, threading; django.setup()
from datetime import UTC, datetime
from redis import Redis
from scaiwave.operations.jobs.scheduler import Scheduler
from scaiwave.queue.jobs import JOBS
now = datetime.now(UTC)
ahead = now.replace(minute=2, second=58) - now
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
redis = Redis.from_url(sys.argv[1])
Scheduler(redis, [JOBS[sys.argv[2]]], lambda: datetime.now(UTC) + ahead).run(stop)
"""


class OwnRedis:
    """A Redis that keeps its data on disk, as that of a production server does."""

    def __init__(self, directory: Path) -> None:
        self.url = f"unix://{directory}/redis.sock"
        program, _ = find_program(directory, ServiceUser())
        self._command = [str(program), "--port", "0", "--appendonly", "yes"]
        self._command += ["--unixsocket", f"{directory}/redis.sock", "--dir", str(directory)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._is_ready, seconds=WAIT_SECONDS)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(60) == 0

    def _is_ready(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path_factory.mktemp("r"))
    redis.start()
    yield redis
    redis.stop()


@pytest.fixture
def server(
    migrated: str, database_url: str, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> RawDatabase:
    """Configure this process and those that it starts."""
    copy_database(migrated, database_url)
    for name, value in {
        "SCAIWAVE_REDIS_URL": own_redis.url,
        "SCAIWAVE_PUBLIC_URL": "https://127.0.0.1",
        "SCAIWAVE_SERVER_NAME": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
    }.items():
        monkeypatch.setenv(name, value)
    return RawDatabase(database_url)


@contextmanager
def run_web_server(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run gunicorn as its unit does; yield it with its host and port."""
    log = directory / "web.log"
    config = "python:scaiwave.web.gunicorn_config"
    command = [sys.executable, "-m", "gunicorn", "--config", config, "--bind", "127.0.0.1:0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    with process:
        try:
            wait_until(lambda: "Listening at" in log.read_text(), seconds=WAIT_SECONDS)
            match = re.search(r"Listening at: http://([\d.:]+)", log.read_text())
            assert match
            yield process, match[1]
        finally:
            process.terminate()


def run_json(*words: str) -> Any:
    """Return the document of a command that succeeds."""
    ended = run_scaiwave(*words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def get_last_run() -> tuple[str, str]:
    """Return the outcome and the trigger of the last run, as `sync status` reports them."""
    runs = run_json("sync", "status", "--no-drift", "--exit-zero")["runs"]
    return (runs[0]["outcome"], runs[0]["trigger"]) if runs else ("", "")


def get_health(web: httpx.Client, path: str) -> tuple[int, Any]:
    answer = web.get(path)
    return answer.status_code, answer.json()


@contextmanager
def start_export(
    sandbox: Sandbox, web: httpx.Client, member: tuple[str, str, str], bundle: Path
) -> Iterator[None]:
    """Begin to export a room over HTTP as one of its members; at the end it must be whole."""
    person, tenant, room = member
    client_id = run_json("sync", "export-env")["environment"]["SCAIWAVE_SCAIKEY_CLIENT_ID"]
    token = sandbox.issue_token(sub=person, tenant_id=tenant, aud=client_id)
    headers = {"Authorization": f"Bearer {token}"}
    with web.stream("GET", f"/v1/rooms/{room}/export", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        pieces = answer.iter_bytes()
        first = next(pieces)
        yield
        bundle.write_bytes(first + b"".join(pieces))
    assert bundle.stat().st_size > MEDIA_BYTES / 2
    assert run_json("room", "verify", str(bundle))["valid"]


@contextmanager
def blocked_syncs(url: str) -> Iterator[None]:
    """Have the lock of syncs, so that a job waits for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_advisory_key(LOCK)])
        yield


def is_started(redis: Redis, job_id: str) -> bool:
    return redis.hget(f"rq:job:{job_id}", "status") == b"started"


def kill_worker_in_its_job(redis: Redis, worker: subprocess.Popen[str]) -> None:
    """Kill a worker and its job, as a lack of memory does."""
    worker.send_signal(signal.SIGSTOP)  # so that it does not notice the end of its job
    kill_job(worker)
    worker.kill()
    worker.communicate(timeout=30)
    expire_heartbeats(redis)


def assert_scheduled_sync(redis: Redis) -> None:
    command = [sys.executable, "-c", SCHEDULER, os.environ["SCAIWAVE_REDIS_URL"], SYNC]
    with subprocess.Popen(command) as scheduler:
        wait_until(lambda: get_last_run() == ("applied", "cron"), seconds=WAIT_SECONDS)
        scheduler.terminate()
    assert scheduler.returncode == 0


def has_scheduler() -> bool:
    status = run_json("sync", "status", "--no-drift", "--exit-zero")
    return bool(status["schedule"]["source"] == "scheduler")


@pytest.mark.sandbox(people=40, tenants=3, partners=2, groups=5, auto_approve=True)
def test_success_nothing_is_lost(
    sandbox: Sandbox, server: RawDatabase, own_redis: OwnRedis, tmp_path: Path
) -> None:
    words = ("--url", sandbox.url, "--scope", "GLOBAL", "--name", "chat", "--allow-http", "--wait")
    registered = run_scaiwave("sync", "register", *words, "--contact-email", "ops@chat.example")
    assert registered.code == 0, registered.err
    redis = Redis.from_url(own_redis.url)
    with (
        run_web_server(tmp_path) as (gunicorn, backend),
        run_nginx(tmp_path, backend) as nginx,
        httpx.Client(base_url=nginx.url, verify=nginx.context, timeout=60) as web,
    ):
        with start_suite("worker", log=tmp_path / "worker.log") as worker:
            assert_scheduled_sync(redis)
            with start_suite("scheduler", log=tmp_path / "scheduler.log") as scheduler:
                wait_until(has_scheduler, seconds=WAIT_SECONDS)
                member = seed_rooms(server)
                with start_export(sandbox, web, member, tmp_path / "first.zip"):
                    pass
                assert_a_killed_worker_loses_nothing(redis, worker, server)
                assert_redis_is_restarted(own_redis, redis, web)
                stop(scheduler)
        assert_the_operator_sees_a_healthy_server()
        with start_export(sandbox, web, member, tmp_path / "second.zip"):
            gunicorn.send_signal(signal.SIGTERM)
        assert gunicorn.wait(WAIT_SECONDS) == 0
    for log in ("scheduler.log", "worker.log", "web.log"):
        assert "Traceback" not in (tmp_path / log).read_text()


def seed_rooms(server: RawDatabase) -> tuple[str, str, str]:
    """Return the ScaiKey IDs of a member and their tenant, and the ID of the room."""
    ((slug,),) = server.rows(
        "SELECT t.slug FROM sw_tenants t JOIN sw_participants p ON p.tenant_id = t.id "
        "GROUP BY t.slug ORDER BY count(*) DESC LIMIT 1"
    )
    media = ("--media", "20", "--media-bytes", str(MEDIA_BYTES // 20))
    seeded = run_scaiwave("manage", "seed_rooms", "--tenant", slug, "--events", "200", *media)
    assert seeded.code == 0, seeded.err
    ((person, tenant, room),) = server.rows(JOIN)
    return person, tenant, str(room)


def assert_a_killed_worker_loses_nothing(
    redis: Redis, worker: subprocess.Popen[str], server: RawDatabase
) -> None:
    """The sync that it was in is rolled back, reported, and followed by one that succeeds."""
    people = server.rows("SELECT count(*) FROM sw_participants")
    with blocked_syncs(server.url):
        plant_call(redis, "killed", SYNC)
        wait_until(lambda: is_started(redis, "killed"), seconds=WAIT_SECONDS)
        kill_worker_in_its_job(redis, worker)
    plant_call(redis, "next", SYNC)
    assert "The worker was killed, or its host failed. [SW_JOB_KILLED]" in run_worker()
    jobs = {job["id"]: job for job in run_json("jobs", "list")["jobs"]}
    assert jobs["killed"]["state"] == "failed"
    assert "next" not in jobs
    assert get_last_run() == ("applied", "cron")
    assert server.rows("SELECT count(*) FROM sw_participants") == people
    assert run_json("jobs", "clear", "--no-input")["changed"]


def assert_redis_is_restarted(own_redis: OwnRedis, redis: Redis, web: httpx.Client) -> None:
    """Without Redis the web server works. Afterwards the queue has its job, and the scheduler."""
    plant_call(redis, "kept", SYNC)
    own_redis.stop()
    assert get_health(web, "/health")[0] == 503
    assert get_health(web, "/health/ready")[0] == 200
    assert web.get("/admin/login/").status_code == 200
    own_redis.start()
    assert get_health(web, "/health")[0] == 200
    assert "Job completed: full_sync (kept)" in run_worker()
    wait_until(has_scheduler, seconds=WAIT_SECONDS)


def assert_the_operator_sees_a_healthy_server() -> None:
    status = run_json("sync", "status")
    drift = [kind["seen"] - kind["unchanged"] for kind in status["drift"].values()]
    assert (status["is_healthy"], any(drift)) == (True, False), status
    checks = run_json("doctor")["checks"]
    assert [check for check in checks if check["state"] == "fail"] == []
