"""Several workers with a real Redis."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from importlib import import_module

import pytest
from redis import Redis

from rooms.services.search.queue import JOB
from tests.rooms.search.server import Database, answer, run, started
from tests.scaiwave.console import SCRIPT

WORKER = (*SCRIPT, "manage", "rqworker", "--burst", "default")
pytestmark = [pytest.mark.once, pytest.mark.redis]


@pytest.fixture
def redis(database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Redis:
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", redis_url)
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    return redis


def work(count: int) -> None:
    """So many workers at once, until nothing is in the queue."""
    with ExitStack() as stack:
        workers = [stack.enter_context(started(*WORKER)) for _ in range(count)]
        for worker in workers:
            _, err = worker.communicate(timeout=60)
            assert worker.returncode == 0, err


def outcome(database: Database) -> tuple[int, int]:
    """Documents there should be, and how many were written."""
    plan = answer()
    assert plan["unfinished"] is None
    assert not any(row["missing"] or row["stale"] for row in plan["tenants"])
    (told,) = database.rows("SELECT outcome FROM sw_search_backfills")[0]
    rows = (told if isinstance(told, dict) else json.loads(told))["tenants"]
    return sum(row["eligible"] for row in plan["tenants"]), sum(row["written"] for row in rows)


def test_success_two_workers_do_each_range_once(database: Database, redis: Redis) -> None:
    queued = run("--execute")
    assert (queued.code, queued.out) == (0, "4 ranges are to be done, by 4 jobs in the queue.\n")
    assert answer()["unfinished"]["ranges_left"] == 4
    work(2)
    eligible, written = outcome(database)
    assert eligible == written == database.documents()
    assert redis.llen("rq:queue:default") == 0


def test_success_who_asks_again_fills_no_queue(database: Database, redis: Redis) -> None:
    """As cron does while no worker is up."""
    for _ in range(2):
        assert answer("--execute")["jobs"] == 4
    assert redis.llen("rq:queue:default") == 4


def test_success_what_a_killed_worker_had_begun_is_taken_again(
    database: Database, redis: Redis
) -> None:
    database.say("acme", 30_000)
    answer("--execute")
    with started(*WORKER) as worker:
        database.wait_for_more(0, worker)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
    reached = database.progress()
    again = answer("--execute")
    assert (again["resumed"], again["ranges"] > 0) == (True, True)
    work(1)
    eligible, _ = outcome(database)
    assert reached > 0
    assert eligible == database.documents()


def test_success_a_job_that_comes_too_late(database: Database, redis: Redis) -> None:
    answer("--execute")
    answer("--execute", "--inline")
    work(1)
    assert redis.zcard("rq:failed:default") == 0
    assert database.documents() == outcome(database)[0]


def test_success_the_job_is_there() -> None:
    module, _, name = JOB.rpartition(".")
    assert callable(getattr(import_module(module), name))
