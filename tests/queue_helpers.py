"""Run the scheduler and the worker in their own processes, with a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from rq.utils import utcformat

from scaiwave.operations.jobs.maintenance import fail_job
from scaiwave.queue.errors import JobKilled
from scaiwave.queue.keys import SCHEDULERS_KEY
from scaiwave.queue.rq_queue import SuiteQueue

SUITE = [sys.executable, "-m", "scaiwave.cli"]
MANAGE = [*SUITE, "manage"]
SYNC = "identity_sync.jobs.full_sync"
REQUESTED_SYNC = ("identity_sync.jobs.run_requested_sync", str(UUID(int=1)))


def use_redis(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, environment: dict[str, str]
) -> Redis:
    """Give an empty Redis and other environment variables to the processes of a test."""
    for name, value in {"SCAIWAVE_REDIS_URL": redis_url, **environment}.items():
        monkeypatch.setenv(name, value)
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    return redis


def plant_job(redis: Redis, job_id: str, data: bytes, **fields: str) -> None:
    """Write a job as anyone who reaches Redis can."""
    values: dict[Any, Any] = {"data": data, "origin": "default", "status": "queued", **fields}
    redis.hset(f"rq:job:{job_id}", mapping=values)
    redis.rpush("rq:queue:default", job_id)


def plant_call(redis: Redis, job_id: str, function: str, *arguments: Any, **fields: str) -> None:
    plant_job(redis, job_id, json.dumps([function, None, arguments, {}]).encode(), **fields)


def plant_failed(
    redis: Redis, job_id: str, message: str = "It was killed.", call: tuple[str, ...] = (SYNC,)
) -> None:
    """Let the next job fail, which must be this one: the queue must be empty."""
    plant_call(redis, job_id, *call)
    queue = SuiteQueue("default", redis)
    job = queue.take(None)
    assert job is not None
    fail_job(queue, job, JobKilled(message))


def plant_worker(redis: Redis, name: str, **fields: Any) -> None:
    values: dict[Any, Any] = {
        "hostname": "worker.example",
        "pid": 17,
        "state": "idle",
        "last_heartbeat": utcformat(datetime.now(UTC)),
        "scaiwave": "1.0",
    }
    redis.hset(f"rq:worker:{name}", mapping=values | fields)
    redis.sadd("rq:workers", f"rq:worker:{name}")


def plant_scheduler(redis: Redis, name: str, **changes: Any) -> None:
    now = datetime.now(UTC)
    values = {
        "host": "scheduler.example",
        "pid": 18,
        "is_active": True,
        "started_at": now.isoformat(),
        "seen_at": now.isoformat(),
        "next_runs": {"full_sync": (now + timedelta(minutes=7)).isoformat()},
    }
    redis.hset(SCHEDULERS_KEY, name, json.dumps({**values, **changes}))


def run_worker(**environment: str) -> str:
    """Run the queued jobs, and return the log."""
    done = subprocess.run(
        [*SUITE, "worker", "--burst"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@contextmanager
def start_suite(*words: str, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a command with stderr in a pipe or a file; kill it if the test does not end it."""
    with ExitStack() as stack:
        stderr = stack.enter_context(log.open("w")) if log else subprocess.PIPE
        process = subprocess.Popen(
            [*SUITE, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        stack.enter_context(process)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def stop(process: subprocess.Popen[str]) -> str:
    """Send SIGTERM, and return the log of a clean end."""
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return err or ""


def wait_until(is_done: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run_scheduler(redis: Redis) -> dict[str, str]:
    """Run the scheduler until it is active; return the next run of each job."""
    with start_suite("scheduler") as scheduler:
        wait_until(lambda: redis.hlen("scaiwave:schedulers"))
        (beat,) = redis.hvals("scaiwave:schedulers")
        stop(scheduler)
    next_runs: dict[str, str] = json.loads(beat)["next_runs"]
    return next_runs
