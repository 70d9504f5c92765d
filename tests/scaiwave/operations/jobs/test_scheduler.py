"""The scheduler, with a clock that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from scaiwave.operations.jobs.scheduler import SCHEDULER_LOCK_KEY, Scheduler
from scaiwave.queue.definitions import JobDefinition
from scaiwave.queue.heartbeats import SCHEDULERS_KEY, list_schedulers
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.rq_queue import SuiteQueue
from tests.queue_helpers import plant_call, take

pytestmark = [pytest.mark.redis, pytest.mark.dated]
PURGE = "tenants.jobs.purge_participants"
START = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def definitions() -> list[JobDefinition]:
    return [JOBS["identity_sync.jobs.full_sync"]]


def queued(redis: Redis) -> list[str]:
    return SuiteQueue("default", connection=redis).get_job_ids()


def slot(minute: int) -> str:
    return f"full_sync-{int(START.replace(minute=minute, second=0).timestamp())}"


def test_success_a_job_at_each_time(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    scheduler = Scheduler(redis, definitions, clock)
    for _ in range(13):
        scheduler.step()
        clock.advance(minutes=1)
        redis.delete(SCHEDULER_LOCK_KEY)  # as if the minute had passed for Redis too
    assert queued(redis) == [slot(3)]
    job = take(redis)
    assert job is not None
    assert 530 < redis.ttl(job.key) <= 540, "it expires before the next one"
    assert job.timeout == 12 * 60 * 60 + 60


def test_success_one_of_two_is_active_and_the_other_takes_over(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    first, second = (Scheduler(redis, definitions, clock) for _ in range(2))
    for scheduler in (first, second):
        scheduler.step()
    active, standby = list_schedulers(redis)
    assert (active.name, active.is_active, standby.is_active) == (first.name, True, False)
    clock.advance(minutes=3)
    for scheduler in (second, first, second):
        scheduler.step()
    assert (queued(redis), first.enqueued, second.enqueued) == ([slot(3)], 1, 0)
    redis.delete(SCHEDULER_LOCK_KEY)  # as Redis does when the first one is dead
    clock.advance(minutes=9, seconds=45)
    for scheduler in (second, first):
        scheduler.step()
    assert (queued(redis), first.enqueued, second.enqueued) == ([slot(13), slot(3)], 1, 1)
    assert list_schedulers(redis)[0].name == second.name


def test_success_a_time_between_the_end_of_one_and_the_next_is_not_missed(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    clock.advance(minutes=2, seconds=45)  # 12:03:15
    Scheduler(redis, definitions, clock).step()
    assert queued(redis) == [slot(3)]
    redis.delete(SCHEDULER_LOCK_KEY)
    Scheduler(redis, definitions, clock).step()
    assert queued(redis) == [slot(3)], "not twice, either"


def test_success_times_that_were_missed_count_once(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    scheduler = Scheduler(redis, definitions, clock)
    scheduler.step()
    clock.advance(hours=9)  # the host was asleep, or Redis was down
    scheduler.step()
    scheduler.step()
    assert len(queued(redis)) == 1
    assert list_schedulers(redis)[0].next_runs["full_sync"] == clock.now.replace(minute=3, second=0)


def test_success_what_redis_has_lost_is_enqueued_again(
    redis: Redis, clock: Clock, definitions: list[JobDefinition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.operations.jobs.scheduler.CLEANING_SECONDS", 0)
    scheduler = Scheduler(redis, definitions, clock)
    scheduler.step()
    clock.advance(minutes=3)
    scheduler.step()
    redis.delete("rq:queue:default", f"rq:job:{slot(3)}")  # as `jobs delete` does
    scheduler.step()
    assert queued(redis) == []
    redis.flushdb()
    scheduler.step()
    assert queued(redis) == [slot(3)]
    redis.flushdb()
    clock.advance(minutes=9)
    scheduler.step()
    assert queued(redis) == [], "it would have expired"


def test_success_it_cleans_up_while_all_workers_are_busy(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    plant_call(redis, "job", PURGE, retries_left="1", status="started")
    redis.delete("rq:queue:default")
    redis.zadd("rq:wip:default", {"job:execution": 1})
    Scheduler(redis, definitions, clock).step()
    assert queued(redis) == ["job"]


@pytest.mark.parametrize("jump", [timedelta(days=10), timedelta(hours=2)])
def test_success_a_clock_that_was_ahead_leaves_nothing_behind(
    jump: timedelta, redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    scheduler = Scheduler(redis, definitions, clock)
    scheduler.step()
    clock.now += jump
    scheduler.step()
    clock.advance(minutes=5)
    scheduler.step()
    far = int((START + jump).replace(minute=3, second=0).timestamp())
    assert queued(redis) == [f"full_sync-{far}", slot(3)], "syncs go to the front"
    clock.now -= jump
    scheduler.step()
    (beat,) = list_schedulers(redis)
    assert beat.next_runs["full_sync"] == START.replace(minute=13, second=0)
    clock.advance(minutes=8)
    scheduler.step()
    assert queued(redis)[:-2] == [slot(13)]


def test_success_a_clock_that_is_set_back_starts_jobs_at_its_times(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    scheduler = Scheduler(redis, definitions, clock)
    scheduler.step()
    clock.advance(minutes=13)
    scheduler.step()
    clock.advance(hours=-2)  # 10:13:30
    scheduler.step()
    (beat,) = list_schedulers(redis)
    assert beat.next_runs["full_sync"] == datetime(2026, 11, 25, 10, 23, tzinfo=UTC)
    for _ in range(11):
        clock.advance(minutes=10)
        scheduler.step()
    assert (scheduler.enqueued, len(set(queued(redis)))) == (12, 12)
    again = queued(redis)[0]  # 12:03 was enqueued before, and its job is still in the queue
    assert again.startswith("full_sync-")
    assert again != slot(3)
    clock.advance(seconds=-3)  # as a time server corrects it
    scheduler.step()
    assert scheduler.enqueued == 12


def test_success_stale_heartbeats_are_left_out(
    redis: Redis, clock: Clock, definitions: list[JobDefinition]
) -> None:
    old = '{"host":"a","pid":1,"is_active":true,"started_at":"2020-01-01T00:00:00+00:00",'
    old += '"seen_at":"2020-01-01T00:00:00+00:00","next_runs":{}}'
    redis.hset(SCHEDULERS_KEY, "old", old)
    assert list_schedulers(redis) == []
    Scheduler(redis, definitions, clock).step()
    assert redis.hlen(SCHEDULERS_KEY) == 1
