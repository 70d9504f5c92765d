"""What killed workers leave, and what others plant, is cleaned up."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from scaiwave.operations.jobs.maintenance import LOST_SECONDS, clean_up_queue, fail_job
from scaiwave.queue.errors import JobKilled
from scaiwave.queue.rq_queue import SuiteQueue
from tests.queue_helpers import plant_call

pytestmark = pytest.mark.redis
SYNC = "identity_sync.jobs.full_sync"


@pytest.fixture
def queue(redis: Redis) -> SuiteQueue:
    return SuiteQueue("default", redis)


def clean_up(queue: SuiteQueue) -> None:
    queue.connection.delete(f"scaiwave:cleaning:{queue.name}")
    clean_up_queue(queue)


def test_success_a_job_that_was_taken_and_not_started_is_put_back(
    redis: Redis, queue: SuiteQueue
) -> None:
    plant_call(redis, "job", SYNC)
    assert queue.take(None) is not None
    clean_up(queue)
    assert redis.llen(queue.key) == 0, "its worker may be about to start it"
    (mark,) = redis.keys(f"{queue.intermediate_key}:seen:*")
    redis.set(mark, int(time.time() - LOST_SECONDS - 1))
    clean_up(queue)
    assert redis.lrange(queue.key, 0, -1) == [b"job"]
    assert redis.keys(f"{queue.intermediate_key}*") == []
    assert 530 < redis.ttl("rq:job:job") <= 540, "it waits as long as a new one"


def test_success_entries_that_are_no_jobs_are_deleted(redis: Redis, queue: SuiteQueue) -> None:
    plant_call(redis, "foreign", "os.abort", status="started")
    redis.delete(queue.key)
    redis.rpush(queue.intermediate_key, b"\xff\x00", "foreign", "expired")
    for member in (b"\xff", b"foreign:1", b"expired:2"):
        redis.zadd("rq:wip:default", {member: 1})
    redis.zadd("rq:failed:default", {"old": 1})
    clean_up(queue)
    assert redis.keys("rq:*") == []


def test_success_nothing_is_kept_of_a_job_that_redis_has_lost(
    redis: Redis, queue: SuiteQueue
) -> None:
    plant_call(redis, "job", SYNC)
    job = queue.take(None)
    assert job is not None
    redis.flushdb()
    fail_job(queue, job, JobKilled("It was killed."))
    assert redis.keys("*") == []
