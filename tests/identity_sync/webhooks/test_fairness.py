"""A stream of events keeps neither a worker nor the lock from a full sync."""

from __future__ import annotations

import math
import threading
import time

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from identity_sync import jobs
from identity_sync.models import LOCK
from identity_sync.sync.lock import WAITING_LOCK, sync_lock
from identity_sync.webhooks.receive import receive_event
from scaiwave.core.locks import is_locked, process_lock
from scaiwave.queue.definitions import BACKGROUND, QUEUES, URGENT
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.rq_queue import SuiteQueue, enqueue_job
from scaiwave.sandbox import Sandbox
from tests.concurrency import run_concurrently
from tests.identity_sync.sync.helpers import list_people
from tests.identity_sync.webhooks.factories import make_body
from tests.tenants.fake_scaikey import make_config


@pytest.mark.django_db(transaction=True)
def test_success_a_waiting_sync_goes_before_the_next_webhooks() -> None:
    has_synced = threading.Event()
    turns = 0

    def follow_one_another() -> None:
        nonlocal turns
        end = time.monotonic() + 20
        while not has_synced.is_set() and time.monotonic() < end:
            with sync_lock(wait_seconds=math.inf, lets_others_go_first=True):
                turns += 1
                time.sleep(0.3)

    def wait_for_a_turn() -> None:
        while not turns:
            time.sleep(0.01)
        with sync_lock(wait_seconds=10):
            has_synced.set()

    run_concurrently(follow_one_another, wait_for_a_turn)
    assert has_synced.is_set()
    assert turns <= 4
    assert not is_locked(WAITING_LOCK)


@pytest.mark.django_db(transaction=True)
def test_success_the_announcement_ends_with_the_wait() -> None:
    with process_lock(LOCK) as is_ours:
        assert is_ours

        def give_up() -> None:
            with pytest.raises(Exception, match="still running"), sync_lock(wait_seconds=0.3):
                pass

        run_concurrently(give_up)
    assert not is_locked(WAITING_LOCK)


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.sandbox(people=5, tenants=1, groups=1)
def test_success_the_next_job_stands_behind_a_queued_sync(
    sandbox: Sandbox, redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CONFIG, settings.REDIS_URL = make_config(sandbox), redis_url
    monkeypatch.setattr(jobs, "MAX_WEBHOOK_SECONDS", 0.0)
    receive_event(
        make_body("user.updated", list_people(sandbox)[0]["id"], "evt_1"), now=timezone.now()
    )
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        enqueue_job(redis, "identity_sync.jobs.full_sync")
        jobs.process_webhooks()
        queue = SuiteQueue(URGENT, redis)
        names = []
        while (job := queue.take(None)) is not None:
            names.append(job.definition.name)
        redis.flushdb()
    assert names == ["full_sync", "process_webhooks"]


def test_success_maintenance_waits_behind_events_and_syncs() -> None:
    assert QUEUES == (URGENT, BACKGROUND)
    assert {job.name for job in JOBS.values() if job.queue == URGENT} == {
        "full_sync",
        "run_requested_sync",
        "process_webhooks",
    }
