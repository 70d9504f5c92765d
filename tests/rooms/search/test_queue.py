"""Backfills by several workers, with a real Redis server."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from importlib import import_module

import pytest
from redis import Redis

from rooms.search.queue import JOB
from tests.rooms.search.helpers import DatabaseProbe, get_json, run_backfill, start_process
from tests.scaiwave.cli_helpers import SCRIPT

WORKER = (*SCRIPT, "worker", "--burst")
pytestmark = [pytest.mark.once, pytest.mark.redis]


@pytest.fixture
def redis(database: DatabaseProbe, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Redis:
    monkeypatch.setenv("SCAIWAVE_REDIS_URL", redis_url)
    redis = Redis.from_url(redis_url)
    redis.flushdb()
    return redis


def run_workers(count: int) -> None:
    """Run so many workers at once until the queue is empty."""
    with ExitStack() as stack:
        workers = [stack.enter_context(start_process(*WORKER)) for _ in range(count)]
        for worker in workers:
            _, err = worker.communicate(timeout=60)
            assert worker.returncode == 0, err


def get_outcome(database: DatabaseProbe) -> tuple[int, int]:
    """Return the numbers of eligible messages and of documents written."""
    plan = get_json()
    assert plan["unfinished"] is None
    assert not any(row["missing"] or row["stale"] for row in plan["tenants"])
    (communicated,) = database.rows("SELECT outcome FROM sw_search_backfills")[0]
    rows = (communicated if isinstance(communicated, dict) else json.loads(communicated))["tenants"]
    return sum(row["eligible"] for row in plan["tenants"]), sum(row["written"] for row in rows)


def test_success_two_workers_process_each_range_once(database: DatabaseProbe, redis: Redis) -> None:
    queued = run_backfill("--execute")
    assert (queued.code, queued.out) == (0, "4 ranges to process; 4 jobs in the queue.\n")
    assert get_json()["unfinished"]["ranges_left"] == 4
    run_workers(2)
    eligible, written = get_outcome(database)
    assert eligible == written == database.count_documents()
    assert redis.llen("rq:queue:background") == 0


def test_success_repeating_the_command_adds_no_jobs(database: DatabaseProbe, redis: Redis) -> None:
    """As cron does while no worker is running."""
    for _ in range(2):
        assert get_json("--execute")["jobs"] == 4
    assert redis.llen("rq:queue:background") == 4


def test_success_the_range_of_a_killed_worker_is_processed_again(
    database: DatabaseProbe, redis: Redis
) -> None:
    database.add_messages("acme", 30_000)
    get_json("--execute")
    with start_process(*WORKER) as worker:
        database.wait_for_progress(worker)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
    reached = database.get_progress()
    again = get_json("--execute")
    assert (again["resumed"], again["ranges"] > 0) == (True, True)
    run_workers(1)
    eligible, _ = get_outcome(database)
    assert reached > 0
    assert eligible == database.count_documents()


def test_success_a_late_job(database: DatabaseProbe, redis: Redis) -> None:
    get_json("--execute")
    get_json("--execute", "--inline")
    run_workers(1)
    assert redis.zcard("rq:failed:default") == 0
    assert database.count_documents() == get_outcome(database)[0]


def test_success_the_job_can_be_imported() -> None:
    module, _, name = JOB.rpartition(".")
    assert callable(getattr(import_module(module), name))
