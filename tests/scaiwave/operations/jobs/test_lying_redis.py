"""Responses that Redis does not send end in the error of this suite, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis
from redis.exceptions import InvalidResponse, RedisError

from scaiwave.operations.jobs.job_pages import iterate_jobs, read_job_page
from scaiwave.operations.jobs.last_runs import read_last_runs
from scaiwave.operations.jobs.queue_state import JobState, find_job_by_id
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.operations.metrics.collectors import collect_job_metrics
from scaiwave.queue.connection import check_responses, open_redis
from scaiwave.queue.errors import RedisUnreachable
from scaiwave.queue.heartbeats import list_schedulers, list_workers
from tests.lying_redis import LIES, SILENCE, run_lying_redis
from tests.queue_helpers import SUITE
from tests.scaiwave.cli_helpers import run_process

READERS: dict[str, Callable[[Redis], Any]] = {
    "jobs": lambda redis: list(iterate_jobs(redis)),
    "job": lambda redis: find_job_by_id(redis, "job"),
    "page": lambda redis: read_job_page(redis, JobState.FAILED, number=1, size=10),
    "workers": list_workers,
    "schedulers": list_schedulers,
    "last runs": lambda redis: read_last_runs(redis, ["identity_sync.jobs.full_sync"]),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("name", READERS)
def test_fail_reading_from_another_server(name: str, lie: bytes, settings: Settings) -> None:
    with run_lying_redis(lie) as settings.REDIS_URL:
        with pytest.raises(RedisUnreachable) as caught, open_redis(timeout=1) as redis:
            READERS[name](redis)
    assert caught.value.fix
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("lie", LIES)
def test_fail_metrics(lie: bytes, settings: Settings) -> None:
    with run_lying_redis(lie) as settings.REDIS_URL, pytest.raises(RedisUnreachable):
        list(collect_job_metrics(timezone.now()))


def test_fail_a_defect_of_this_suite_keeps_its_type(settings: Settings) -> None:
    with run_lying_redis(b"+OK\r\n") as settings.REDIS_URL:
        with pytest.raises(ValueError, match="invalid literal"), open_redis():
            int("x")


def test_fail_what_redis_py_raises_is_named() -> None:
    with run_lying_redis(b":many\r\n") as url, Redis.from_url(url) as redis:
        with pytest.raises(InvalidResponse, match="ValueError"), check_responses():
            redis.llen("queue")


@pytest.mark.once
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("words", ["jobs list", "jobs show a", "worker --burst", "scheduler"])
def test_fail_commands_have_no_traceback(words: str, migrated: Path) -> None:
    for lie in (b":many\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"):
        with run_lying_redis(lie) as url:
            ended = run_process([*SUITE, *words.split()], SCAIWAVE_REDIS_URL=url)
        assert ended.code == 2
        assert "[SW_REDIS_UNREACHABLE]" in ended.err
        assert "Traceback" not in ended.err


@pytest.mark.redis
@pytest.mark.parametrize("lie", [b"*1\r\n:1\r\n", SILENCE], ids=["lies", "is silent"])
def test_fail_a_burst_ends_if_redis_can_not_be_used_for_good(
    lie: bytes, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has begun with a Redis that works."""
    worker = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    waits: list[float] = []
    monkeypatch.setattr(worker, "_sleep", waits.append)
    with run_lying_redis(lie) as url, Redis.from_url(url, socket_timeout=0.2) as lying:
        monkeypatch.setattr(worker, "register_birth", lambda: None)
        worker.connection = lying
        worker.suite_queues[0].connection = lying
        with pytest.raises(RedisError):
            worker.work_until_stopped(burst=True)
    assert waits == [1, 2, 4, 8]
