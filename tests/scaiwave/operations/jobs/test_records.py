"""Jobs in Redis are untrusted data."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError

from scaiwave.ids import new_id
from scaiwave.queue.definitions import RefusalReason
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.records import UnsafeJob, read_record
from scaiwave.queue.rq_queue import SuiteQueue, enqueue_job
from tests.queue_helpers import plant_call, plant_job
from tests.tools import count_examples

pytestmark = [pytest.mark.redis, pytest.mark.dated]
SYNC = "identity_sync.jobs.full_sync"


class Bomb:
    """Fails the test if it is ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.abort, ())


PICKLE = pickle.dumps(Bomb())
UNSAFE: dict[str, tuple[bytes, RefusalReason]] = {
    "pickle": (PICKLE, RefusalReason.FORMAT),
    "compressed pickle": (zlib.compress(PICKLE), RefusalReason.FORMAT),
    "foreign function": (b'["subprocess.run",null,[["id"]],{}]', RefusalReason.FUNCTION),
    "function of the suite": (
        b'["identity_sync.jobs.run_sync",null,[],{}]',
        RefusalReason.FUNCTION,
    ),
    "method": (b'["format","{0.__class__}",[1],{}]', RefusalReason.FORMAT),
    "function as a list": (b'[["os.abort"],null,[],{}]', RefusalReason.FORMAT),
    "arguments": (f'["{SYNC}",null,[1],{{}}]'.encode(), RefusalReason.ARGUMENTS),
    "keywords": (f'["{SYNC}",null,[],{{"x":1}}]'.encode(), RefusalReason.ARGUMENTS),
    "no ID": (b'["rooms.jobs.backfill_search",null,["../x"],{}]', RefusalReason.ARGUMENTS),
    "nested": (b"[" * 15_000, RefusalReason.FORMAT),
    "huge": (b"x" * 10_000_000, RefusalReason.SIZE),
    "zip bomb": (zlib.compress(b" " * 10_000_000, 9), RefusalReason.SIZE),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_fail_unsafe_jobs(name: str, redis: Redis) -> None:
    data, reason = UNSAFE[name]
    plant_job(redis, "planted", data)
    with pytest.raises(UnsafeJob) as caught:
        read_record(redis, "planted")
    assert caught.value.reason is reason


@pytest.mark.parametrize("raw_id", [b"\xff", b"a b", b"../x", b"x" * 200, b""])
def test_fail_unsafe_ids(raw_id: bytes, redis: Redis) -> None:
    with pytest.raises(UnsafeJob):
        read_record(redis, raw_id)


def test_fail_a_key_of_another_type(redis: Redis) -> None:
    redis.set("rq:job:text", "x")
    with pytest.raises(UnsafeJob):
        read_record(redis, "text")


def test_success_other_fields_are_never_read(redis: Redis) -> None:
    """RQ unpickles some of them, calls others, and sends requests to the addresses in others."""
    fields = dict.fromkeys(("success_callback_name", "failure_callback_name"), "os.abort")
    plant_call(redis, "planted", SYNC, **fields, timeout="never", started_at="yesterday", ttl="x")
    redis.hset("rq:job:planted", mapping={"meta": PICKLE, "result": PICKLE, "exc_info": PICKLE})
    (job,) = [SuiteQueue("default", redis).take(None)]
    assert job is not None
    assert (job.failure_callback, job.success_callback) == (None, None)
    assert job.time_limit == JOBS[SYNC].get_timeout(django_settings.CONFIG) == 43260
    assert job.record.started_at is None


@settings(
    max_examples=count_examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just(SYNC),
        lambda children: (
            st.lists(children, max_size=5)
            | st.dictionaries(st.text(max_size=3), children, max_size=2)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_success_any_data_is_a_job_or_unsafe(data: bytes, redis: Redis) -> None:
    redis.delete("rq:job:any")
    plant_job(redis, "any", data or b" ")
    try:
        record = read_record(redis, "any")
    except UnsafeJob:
        return
    assert (record.definition.function, record.arguments) == (SYNC, [])


def test_success_what_the_suite_enqueues_can_be_run(redis: Redis) -> None:
    with_id = (
        *("rooms.jobs.backfill_search", "rooms.jobs.run_tenant_task"),
        "identity_sync.jobs.run_requested_sync",
    )
    arguments = dict.fromkeys(with_id, (str(new_id()),))
    for function in JOBS:
        job_id = enqueue_job(redis, function, *arguments.get(function, ()))
        job = SuiteQueue(JOBS[function].queue, redis).take(None)
        assert job is not None
        assert (job.id, job.func_name) == (job_id, function)
        assert (redis.hget(job.key, "data") or b"")[:1] != b"\x80"
        assert callable(job.perform)


def test_success_refused_jobs_are_discarded_and_reported(redis: Redis) -> None:
    Queue(connection=redis).enqueue("tenants.jobs.refresh_usage")  # pickled
    plant_call(redis, "foreign", "subprocess.run", ["id"])
    redis.rpush("rq:queue:default", b"\xff\x00", "expired")
    plant_call(redis, "good", SYNC)
    reasons: list[RefusalReason] = []
    queue = SuiteQueue("default", redis)
    queue.on_refused = reasons.append
    job = queue.take(None)
    assert job is not None
    assert job.id == "good"
    assert reasons == [RefusalReason.FORMAT, RefusalReason.FUNCTION, RefusalReason.ID]
    assert redis.keys("rq:job:*") == [b"rq:job:good"]
    assert redis.lrange(queue.intermediate_key, 0, -1) == [b"good"]


def test_fail_no_such_job(redis: Redis) -> None:
    with pytest.raises(NoSuchJobError):
        read_record(redis, "missing")


def test_success_the_queue_of_django_rq_has_json_jobs(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other Django code that enqueues with django-rq gets what workers here accept."""
    import django_rq

    url = django_settings.REDIS_URL
    monkeypatch.setattr(django_settings, "RQ_QUEUES", {"default": {"URL": url}})
    queue = django_rq.get_queue("default")
    assert isinstance(queue, SuiteQueue)
    queue.enqueue(SYNC, job_id="full_sync-1")
    assert read_record(redis, b"full_sync-1").definition.name == "full_sync"
    with pytest.raises(TypeError):
        queue.enqueue(SYNC, object(), job_id="full_sync-2")
