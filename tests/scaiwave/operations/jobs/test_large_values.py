"""Entries of any size and number in Redis: they are named and skipped, and the others are read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from identity_sync.webhooks.start import JOB as WEBHOOKS
from identity_sync.webhooks.start import start_processing
from scaiwave.config import Configuration, load
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.host import check_redis
from scaiwave.operations.jobs.job_pages import count_jobs, delete_jobs, iterate_jobs
from scaiwave.operations.jobs.maintenance import clean_up_queue
from scaiwave.operations.jobs.queries import list_jobs
from scaiwave.operations.jobs.queue_state import JobState, find_job_by_id
from scaiwave.operations.jobs.scheduler import Scheduler
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.operations.metrics.collectors import collect_job_metrics
from scaiwave.queue import bounded_values, rq_queue
from scaiwave.queue.bounded_values import MAX_VALUE_BYTES, OversizedValue, delete_oversized
from scaiwave.queue.connection import open_redis
from scaiwave.queue.definitions import RefusalReason
from scaiwave.queue.errors import RedisKeyMisused
from scaiwave.queue.heartbeats import list_schedulers
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.keys import KEY_TYPES, LAST_JOB_KEY, SCHEDULER_LOCK_KEY, SCHEDULERS_KEY
from scaiwave.queue.rq_queue import SuiteQueue, enqueue_job, is_last_waiting
from tests.queue_helpers import plant_call, plant_failed, plant_scheduler
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.scaiwave.row_factories import NOW

pytestmark = pytest.mark.redis
SYNC = "identity_sync.jobs.full_sync"
LARGE = b"x" * (MAX_VALUE_BYTES + 1)
HOST = get_host_operator()


def list_ids(state: str | None = None) -> list[str]:
    return [row["id"] for row in list_jobs(operator=HOST, state=state, limit=None)]


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_success_large_values_are_not_kept_and_the_next_response_is_read(
    protocol: str, redis: Redis, redis_url: str, settings: Settings
) -> None:
    separator = "&" if "?" in redis_url else "?"
    settings.REDIS_URL = f"{redis_url}{separator}protocol={protocol}"
    redis.rpush("list", "first", LARGE, b"y" * MAX_VALUE_BYTES, b"z" * 3_000_000, "last")
    with open_redis() as limited:
        for _ in range(2):
            first, second, third, fourth, last = limited.lrange("list", 0, -1)
            assert (first, third, last) == (b"first", b"y" * MAX_VALUE_BYTES, b"last")
            assert isinstance(second, OversizedValue)
            assert isinstance(fourth, OversizedValue)
            assert (second.size, fourth.size) == (len(LARGE), 3_000_000)
        assert limited.get("none") is None
        assert limited.llen("list") == 5


def test_success_the_worker_discards_large_entries_and_runs_the_job_behind_them(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis.rpush("rq:queue:default", LARGE)
    plant_call(redis, "job", SYNC)
    redis.rpush("rq:queue:default", LARGE + b"1")
    for key in ("rq:failed:default", "rq:wip:default"):
        redis.zadd(key, {LARGE: 1, LARGE + b"1": 9e12})
    reasons: list[RefusalReason] = []
    with open_redis() as limited, caplog.at_level(logging.ERROR, "scaiwave.worker"):
        queue = SuiteQueue("default", limited)
        queue.on_refused = reasons.append
        job = queue.take(None)
    assert job is not None
    assert job.id == "job"
    assert reasons == [RefusalReason.SIZE] * 6
    assert redis.lrange(queue.key, 0, -1) == []
    assert redis.lrange(queue.intermediate_key, 0, -1) == [b"job"]
    assert not redis.exists("rq:failed:default", "rq:wip:default")
    for key, size in (("queue:default:intermediate", "16,385"), ("queue:default", "16,386")):
        line = f"Job refused: an entry of rq:{key}: its ID has {size} bytes. [SW_JOB_REFUSED]"
        assert line in caplog.text


def test_success_the_clean_up_finds_what_a_killed_worker_has_taken(redis: Redis) -> None:
    redis.rpush("rq:queue:default:intermediate", "expired", LARGE, "none")
    with open_redis() as limited:
        clean_up_queue(SuiteQueue("default", limited))
    assert redis.keys("rq:*") == []


def test_success_nothing_is_deleted_by_a_position_that_has_changed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.rpush("list", LARGE, "job")
    redis.zadd("set", {b"job": 1, LARGE: 2})
    with open_redis() as limited:
        # Another client moves the entries between the look at them and the deletion.
        original = limited.pipeline

        def pipeline() -> object:
            changed = original()
            multi = changed.multi
            monkeypatch.setattr(changed, "multi", lambda: (redis.lpush("list", "new"), multi()))
            return changed

        monkeypatch.setattr(limited, "pipeline", pipeline)
        assert delete_oversized(limited, "list", is_list=True) == []
        assert redis.lrange("list", 0, -1) == [b"new", LARGE, b"job"]
        monkeypatch.setattr(limited, "pipeline", original)
        assert delete_oversized(limited, "list", is_list=True) == [len(LARGE)]
        assert delete_oversized(limited, "set", is_list=False) == [len(LARGE)]
    assert redis.lrange("list", 0, -1) == [b"new", b"job"]
    assert redis.zrange("set", 0, -1) == [b"job"]


def test_success_lists_name_large_entries_and_show_the_others(redis: Redis) -> None:
    plant_failed(redis, "failed")
    redis.zadd("rq:failed:default", {LARGE: 9e12})
    redis.zadd("rq:wip:default", {LARGE + b":1": 9e12, b"running:2": 8e12})
    redis.rpush("rq:queue:default", LARGE)
    plant_call(redis, "waiting", SYNC)
    large = f"({len(LARGE):,} bytes)"
    assert list_ids() == ["(16,387 bytes)", "running", large, "waiting", large, "failed"]
    problems = {row["problem"] for row in list_jobs(operator=HOST, state="failed", limit=None)}
    assert problems == {None, "its ID has 16,385 bytes"}
    with open_redis() as limited:
        assert find_job_by_id(limited, "waiting") is not None
        for state, count in ((JobState.FAILED, 2), (JobState.WAITING, 1)):
            assert count_jobs(limited, state) == {"default": count, "background": 0}
            delete_jobs(limited, state)
    assert list_ids() == ["(16,387 bytes)", "running"]


def test_success_very_many_entries_are_read_in_pieces(redis: Redis) -> None:
    names = [f"expired-{number}" for number in range(1_200)]
    redis.rpush("rq:queue:default", *names)
    plant_call(redis, "job", SYNC)
    with open_redis() as limited:
        counts = count_jobs(limited, JobState.WAITING)
        assert counts["default"] == 701, "the first 500 were looked at"
        assert [job.id for job in iterate_jobs(limited, JobState.WAITING)] == [*names, "job"]
        queue = SuiteQueue("default", limited)
        assert queue.take(None) is None
        assert redis.llen(queue.key) == 201
        assert (job := queue.take(None)) is not None
        assert job.id == "job"
        redis.rpush(queue.key, *names, LARGE)
        delete_jobs(limited, JobState.WAITING)
    assert redis.llen(queue.key) == 0


@pytest.mark.django_db
def test_success_webhooks_wait_for_one_job_however_long_the_queue_is(redis: Redis) -> None:
    names = [f"expired-{number}" for number in range(1_200)]
    redis.rpush("rq:queue:default", LARGE, *names)
    for _ in range(3):
        start_processing()
    assert redis.llen("rq:queue:default") == 1_202
    assert is_last_waiting(redis, WEBHOOKS)
    redis.rpop("rq:queue:default")  # as a worker takes it
    assert not is_last_waiting(redis, WEBHOOKS)
    start_processing()
    assert redis.llen("rq:queue:default") == 1_202
    redis.set("scaiwave:last_job:process_webhooks", LARGE)
    with open_redis() as limited:
        assert not is_last_waiting(limited, WEBHOOKS)


def test_success_a_large_name_of_the_last_job_is_not_received(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set(LAST_JOB_KEY.format(JOBS[WEBHOOKS].name), LARGE * 100)
    monkeypatch.setattr(bounded_values, "_CHUNK_BYTES", 0)  # Receiving a large value fails.
    with open_redis() as limited:
        assert not is_last_waiting(limited, WEBHOOKS)


def test_success_jobs_of_which_nothing_is_left_are_not_read(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be a million of them before a job."""
    redis.rpush("rq:queue:default", *[f"expired-{number}" for number in range(700)])
    plant_call(redis, "job", SYNC)
    monkeypatch.setattr(rq_queue, "read_records", lambda *_: pytest.fail("Jobs were read."))
    job = SuiteQueue("default", redis).take(None)
    assert job is not None
    assert job.id == "job"
    assert redis.llen("rq:queue:default") == 0


@pytest.fixture
def config(home: Path) -> Configuration:
    return load({"SCAIWAVE_HOME": str(home)})


def get_findings(config: Configuration) -> list[tuple[str, State, str]]:
    return [(each.check, each.state, each.message) for each in check_redis(config, NOW)]


def test_success_doctor_names_large_entries(redis: Redis, config: Configuration) -> None:
    for number in range(3):
        redis.rpush("rq:queue:default", b"x" * 12_000_000 + b"%d" % number)
    redis.sadd("rq:workers", b"x" * 36_000_000)
    findings = get_findings(config)
    messages = [message for check, state, message in findings if state is State.WARN]
    for key in ("rq:queue:default", "rq:workers"):
        assert any(each.startswith(f"{key} takes ") for each in messages)
    assert ("workers", State.WARN, "No worker is running; 3 jobs are waiting.") in findings


@pytest.mark.parametrize("key", KEY_TYPES)
def test_success_a_key_of_another_type_is_moved_and_named(
    key: str, redis: Redis, config: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    kind = KEY_TYPES[key]
    redis.set(key, "precious") if kind != "string" else redis.rpush(key, "precious")
    other = "list" if kind == "string" else "string"
    sentence = f"{key} is of the type {other}, not {kind}"
    findings = get_findings(config)
    assert ("redis", State.FAIL, f"{sentence}.") in findings
    assert "workers" in {check for check, *_ in findings}, "the other checks go on"
    assert len(list(collect_job_metrics(timezone.now()))) == 7
    if key in ("rq:queue:default", "rq:wip:default", "rq:failed:default"):
        assert list_ids() == [key]
    with open_redis() as limited, caplog.at_level(logging.ERROR, "scaiwave.worker"):
        worker = SuiteWorker(
            limited, ["default", "background"], grace_seconds=0, on_refused=lambda reason: None
        )
        worker.work_until_stopped(burst=True)
        assert worker._move_wrong_types() is False
    (moved,) = (str(name, "ascii") for name in redis.scan_iter(f"scaiwave:moved:{key}:*"))
    assert (
        f"Key of Redis renamed: {sentence}: it is now {moved}. [SW_REDIS_KEY_TYPE]" in caplog.text
    )
    assert redis.type(moved) == other.encode()
    redis.delete(key)
    redis.set(key, "second") if kind != "string" else redis.rpush(key, "second")
    with open_redis() as limited:
        Scheduler(limited, [JOBS[SYNC]]).step()
        assert list_schedulers(limited)[0].is_active
    assert len(redis.keys(f"scaiwave:moved:{key}:*")) == 2, "the first one is not replaced"


def test_fail_a_key_of_another_type_has_an_error_of_its_own(redis: Redis) -> None:
    redis.set("rq:queue:default", "x")
    with pytest.raises(RedisKeyMisused, match="rq:queue:default"):
        with open_redis() as limited:
            enqueue_job(limited, SYNC)


def test_success_a_large_name_does_not_hide_the_schedulers_for_long(redis: Redis) -> None:
    redis.hset(SCHEDULERS_KEY, LARGE, "x")
    plant_scheduler(redis, "second", is_active=False)
    redis.delete(SCHEDULER_LOCK_KEY)
    with open_redis() as limited:
        scheduler = Scheduler(limited, [JOBS[SYNC]])
        scheduler.step()
        assert redis.hlen(SCHEDULERS_KEY) == 0
        scheduler.step()
        assert [beat.name for beat in list_schedulers(limited)] == [scheduler.name]


# Each prints its peak in kilobytes. A process inherits the peak of its parent, except in the
# kernel's own figure.
_MEASURED = """
import django
django.setup()
from django.conf import settings
from datetime import UTC, datetime
from identity_sync.webhooks.start import start_processing
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.doctor.host import check_redis
from scaiwave.operations.jobs.queries import list_jobs
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.operations.metrics.collectors import collect_job_metrics
from scaiwave.queue.connection import open_redis

assert list(collect_job_metrics(datetime.now(UTC)))
assert list(check_redis(settings.CONFIG, datetime.now(UTC)))
rows = list(list_jobs(operator=get_host_operator(), state=None, limit=50))
start_processing()
with open_redis(timeout=60) as redis:
    worker = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    assert worker._take() is not None
with open("/proc/self/status") as status:
    print(len(rows), next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def measure_peak(expected_rows: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED],
        cwd=CHECKOUT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"},
        check=True,
        capture_output=True,
        text=True,
    )
    rows, peak = map(int, done.stdout.split())
    assert rows == expected_rows
    return peak


def plant_large(redis: Redis, size: int) -> None:
    large = b"x" * size
    for number in range(3):
        redis.rpush("rq:queue:default", large + b"%d" % number)


def plant_many(redis: Redis, count: int) -> None:
    for start in range(0, count, 10_000):
        names = (f"unknown-{number:032}" for number in range(start, min(start + 10_000, count)))
        redis.rpush("rq:queue:background", *names)


def plant_many_failed(redis: Redis, count: int) -> None:
    now = time.time()
    names = [f"failed-{number:032}" for number in range(count)]
    redis.zadd("rq:failed:default", {name: now + 1000 + n for n, name in enumerate(names)})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports the peak")
@pytest.mark.once
@pytest.mark.fresh_interpreter
@pytest.mark.slow
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("plant", "size", "rows"),
    [(plant_large, 40_000_000, 5), (plant_many, 150_000, 50), (plant_many_failed, 100_000, 50)],
)
def test_success_memory_does_not_grow_with_what_redis_contains(
    plant: Callable[[Redis, int], None], size: int, rows: int, redis: Redis, migrated: Path
) -> None:
    peaks = []
    for amount, expected in ((1, 5 if plant is plant_large else 3), (size, rows)):
        redis.flushdb()
        plant_call(redis, "job", SYNC)
        plant_call(redis, "second", SYNC)
        plant(redis, amount)
        peaks.append(measure_peak(expected))
    assert peaks[1] - peaks[0] < 10 * 1024, peaks
