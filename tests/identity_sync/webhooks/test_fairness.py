"""A stream of events keeps neither a worker nor the lock from a full sync."""

from __future__ import annotations

import math
import threading
import time
from itertools import count

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from identity_sync import jobs
from identity_sync.models import LOCK, SyncRun, WebhookEvent
from identity_sync.sync.lock import WAITING_LOCK, sync_lock
from identity_sync.webhooks import process
from identity_sync.webhooks.process import process_events
from identity_sync.webhooks.receive import receive_event
from identity_sync.webhooks.start import start_processing
from scaiwave.core.locks import is_locked, process_lock
from scaiwave.queue.definitions import BACKGROUND, QUEUES, URGENT
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.rq_queue import enqueue_job
from scaiwave.sandbox import Sandbox
from tests.concurrency import run_concurrently
from tests.identity_sync.sync.helpers import HOST, list_people, sync
from tests.identity_sync.webhooks.factories import make_body
from tests.queue_helpers import take
from tests.tenants.fake_scaikey import make_config

numbers = count()


def store(person: str) -> None:
    body = make_body("user.updated", person, f"evt_{next(numbers)}")
    receive_event(body, now=timezone.now())


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
    store(list_people(sandbox)[0]["id"])
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        enqueue_job(redis, "identity_sync.jobs.full_sync")
        jobs.process_webhooks()
        names = []
        while (job := take(redis)) is not None:
            names.append(job.name)
        redis.flushdb()
    assert names == ["full_sync", "process_webhooks"]


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.sandbox(people=5, tenants=1, groups=1)
def test_success_a_queued_sync_waits_for_one_job_of_a_stream(
    sandbox: Sandbox, redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many events arrive: more than one job handles, before and during each job."""
    settings.CONFIG, settings.REDIS_URL = make_config(sandbox), redis_url
    monkeypatch.setattr(jobs, "MAX_WEBHOOK_EVENTS", 1)
    monkeypatch.setattr(process, "BATCH_SIZES", (1, 1, 1, 1, 1))
    sync()
    person = list_people(sandbox)[0]["id"]

    def deliver() -> None:
        for _ in range(3):
            store(person)
            start_processing()

    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        deliver()
        job = take(redis)
        deliver()
        sync_job = enqueue_job(redis, "identity_sync.jobs.full_sync")
        names = []
        while job is not None and job.id != sync_job:
            names.append(job.name)
            deliver()
            job.perform()
            job = take(redis)
        assert names == ["process_webhooks"]
        assert job is not None
        job.perform()
        redis.flushdb()
    assert WebhookEvent.objects.filter(state="pending").count() == 0
    assert list(SyncRun.objects.filter(trigger="cron").values_list("outcome", flat=True)) == [
        "applied"
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.sandbox(people=5, tenants=1, groups=1)
def test_success_webhooks_do_not_keep_a_worker_while_another_sync_runs(
    sandbox: Sandbox, settings: Settings
) -> None:
    settings.CONFIG = make_config(sandbox)
    store(list_people(sandbox)[0]["id"])
    results = []

    def handle() -> None:
        results.append(process_events(operator=HOST, seconds=0.3))

    with process_lock(LOCK) as is_ours:
        assert is_ours
        run_concurrently(handle)
    assert results == [True]
    event = WebhookEvent.objects.get()
    assert (event.state, event.attempts) == ("pending", 0)


def test_success_maintenance_waits_behind_events_and_syncs() -> None:
    assert QUEUES == (URGENT, BACKGROUND)
    assert {job.name for job in JOBS.values() if job.queue == URGENT} == {
        "full_sync",
        "run_requested_sync",
        "process_webhooks",
        "send_notifications",
    }
