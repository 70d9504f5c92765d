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

from scaiwave.operations.jobs.last_runs import write_last_run
from scaiwave.queue.errors import JobKilled
from scaiwave.queue.heartbeats import SCHEDULERS_KEY
from scaiwave.queue.rq_queue import SuiteJob, SuiteQueue

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
    """Leave a failed job as a worker does."""
    error = {"error_code": JobKilled.code, "error_message": message, "error_fix": JobKilled.fix}
    ended_at = utcformat(datetime.now(UTC))
    plant_call(redis, job_id, *call, **error, ended_at=ended_at)
    redis.hset(f"rq:job:{job_id}", "status", "failed")
    redis.lrem("rq:queue:default", 0, job_id)
    redis.zadd("rq:failed:default", {job_id: time.time() + 1000})
    write_last_run(redis, call[0], error_code=JobKilled.code)


def take(redis: Redis, queue: str = "default") -> SuiteJob | None:
    """Take the next job as a worker does."""
    found = SuiteQueue.dequeue_any([SuiteQueue(queue, connection=redis)], None, redis)
    return found[0] if found else None


def expire_heartbeats(redis: Redis) -> None:
    """Let the next clean-up find what killed workers have left, as a minute without them does."""
    members: Any = redis.zrange("rq:wip:default", 0, -1)
    redis.zadd("rq:wip:default", dict.fromkeys(members, 1))
    redis.delete("rq:clean_registries:default")


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
