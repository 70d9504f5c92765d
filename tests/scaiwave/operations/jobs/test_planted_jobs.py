"""Whatever anyone plants in Redis: only functions of the table run, also in plain `rqworker`."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.timeouts import UnixSignalDeathPenalty

from scaiwave.ids import new_id
from scaiwave.operations.jobs.worker import SuiteWorker, _TimeLimit
from scaiwave.queue.definitions import RefusalReason
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.rq_queue import SuiteJob, SuiteQueue, enqueue_job
from tests.queue_helpers import MANAGE, plant_call, plant_job, take, use_redis
from tests.tools import count_examples

pytestmark = [pytest.mark.redis, pytest.mark.dated]
SYNC = "identity_sync.jobs.full_sync"
GOOD, FAILING = "tenants.jobs.purge_participants", SYNC


class Bomb:
    """Leaves a file if it is ever unpickled."""

    def __init__(self, path: Path = Path("/nonexistent/bomb")) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


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
    "no call": (b"[1]", RefusalReason.FORMAT),
    "arguments": (f'["{SYNC}",null,[1],{{}}]'.encode(), RefusalReason.ARGUMENTS),
    "keywords": (f'["{SYNC}",null,[],{{"x":1}}]'.encode(), RefusalReason.ARGUMENTS),
    "no ID": (b'["rooms.jobs.backfill_search",null,["../x"],{}]', RefusalReason.ARGUMENTS),
    "nested": (b"[" * 15_000, RefusalReason.FORMAT),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_fail_unsafe_jobs(name: str, redis: Redis) -> None:
    data, reason = UNSAFE[name]
    plant_job(redis, "unsafe", data)
    job = take(redis)
    assert job is not None
    refusal = job.find_refusal()
    assert refusal is not None
    assert refusal[0] is reason
    assert job.retries_left is None


def test_success_other_fields_are_never_read(redis: Redis) -> None:
    """RQ unpickles some of them, calls others, and sends requests to the addresses in others."""
    fields = dict.fromkeys(("success_callback_name", "failure_callback_name"), "os.abort")
    plant_call(redis, "planted", SYNC, **fields, timeout="never", retries_left="500")
    redis.hset("rq:job:planted", mapping={"meta": PICKLE, "result": PICKLE, "exc_info": PICKLE})
    job = take(redis)
    assert job is not None
    assert (job.failure_callback, job.success_callback, job.webhooks) == (None, None, [])
    assert (job.meta, job.retries_left, job.repeats_left) == ({}, None, None)
    assert job.timeout == JOBS[SYNC].get_timeout(django_settings.CONFIG) == 43260


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
def test_success_any_data_is_a_job_or_refused(data: bytes, redis: Redis) -> None:
    redis.delete("rq:job:any")
    plant_job(redis, "any", data or b" ")
    job = take(redis)
    assert job is not None
    if job.find_refusal() is None:
        assert (job.func_name, job.args) == (SYNC, [])


def test_success_what_can_not_be_read_is_dropped(redis: Redis) -> None:
    plant_call(redis, "odd", SYNC, started_at="yesterday")
    redis.rpush("rq:queue:default", "../odd", "expired")
    plant_call(redis, "good", SYNC)
    job = take(redis)
    assert job is not None
    assert job.id == "good"
    with pytest.raises(NoSuchJobError, match="Its record in Redis can't be read"):
        SuiteJob.fetch("odd", redis)


def test_success_what_the_suite_enqueues_can_be_run(redis: Redis) -> None:
    with_id = (
        *("rooms.jobs.backfill_search", "rooms.jobs.run_tenant_task"),
        "identity_sync.jobs.run_requested_sync",
    )
    arguments = dict.fromkeys(with_id, (str(new_id()),))
    for function, definition in JOBS.items():
        job_id = enqueue_job(redis, function, *arguments.get(function, ()))
        job = take(redis, definition.queue)
        assert job is not None
        assert (job.id, job.func_name, job.find_refusal()) == (job_id, function, None)
        assert job.retries_left == (None if definition.runs_once else 1)
        assert (redis.hget(job.key, "data") or b"")[:1] != b"\x80"


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
    assert SuiteJob.fetch("full_sync-1", redis).name == "full_sync"
    with pytest.raises(TypeError):
        queue.enqueue(SYNC, object(), job_id="full_sync-2")


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        (SuiteJob, Job),
        (SuiteQueue, Queue),
        (SuiteWorker, Worker),
        (_TimeLimit, UnixSignalDeathPenalty),
    ],
)
def test_success_what_replaces_a_part_of_rq_still_replaces_one(ours: type, base: type) -> None:
    """A release of RQ that renames one must not drop a defence in silence."""
    own = {
        *(
            "failure",
            "last_error",
            "attempts",
            "definition",
            "name",
            "runs_once",
            "find_refusal",
            "problem",
            "state",
        ),
        *("is_kept", "grace_seconds", "_put_back"),
    }
    names = {name for name in vars(ours) if not name.startswith("__")} - own
    assert names
    assert [name for name in sorted(names) if not hasattr(base, name)] == []


@pytest.mark.once
@pytest.mark.only_on("sqlite")
def test_success_nothing_that_is_planted_runs_in_plain_rqworker(
    redis_url: str, migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foreign functions, pickles, callbacks, webhooks, dependents, also of abandoned and scheduled
    jobs."""
    redis = use_redis(monkeypatch, redis_url, {"SCAIWAVE_SCAIKEY_URL": ""})
    traps = tmp_path / "traps"
    traps.mkdir()

    def bomb(name: str) -> bytes:
        return pickle.dumps(Bomb(traps / name))

    def call(name: str) -> bytes:
        return json.dumps(["os.mkdir", None, [str(traps / name)], {}]).encode()

    def plant(job_id: str, data: bytes, *, key: str = "", **fields: Any) -> None:
        queued = {"data": data, "origin": "default", "status": "queued"}
        record: dict[Any, Any] = {**queued, **callbacks, **fields}
        redis.hset(f"rq:job:{job_id}", mapping=record)
        if key:
            redis.zadd(key, {job_id: 1})
        else:
            redis.rpush("rq:queue:default", job_id)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hook = [{"url": url, "statuses": ["finished", "failed"], "status": "finished"}]
        callback = "tests.scaiwave.operations.jobs.slow_jobs.leave_a_trap"
        callbacks = {
            f"{kind}_callback_name": callback for kind in ("success", "failure", "stopped")
        }
        callbacks["webhooks"] = json.dumps(hook)
        monkeypatch.setenv("PLANTED_TRAP", str(traps / "callback"))
        good, failing = (json.dumps([each, None, [], {}]).encode() for each in (GOOD, FAILING))
        for name, data in (("good", good), ("failing", failing)):
            fields: dict[str, Any] = {
                "meta": bomb(f"meta-{name}"),
                "result": zlib.compress(bomb(f"result-{name}")),
            }
            plant(name, data, repeats_left="5", repeat_intervals="[0]", group_id="g", **fields)
            for kind, child in (("pickle", bomb(f"child-{name}")), ("call", call(f"of-{name}"))):
                child_id = f"{name}-{kind}"
                ids = json.dumps([name])
                waits = {"status": "deferred", "dependency_ids": ids}
                plant(child_id, child, key="rq:deferred:default", **waits)
                redis.sadd(f"rq:job:{name}:dependents", child_id)
        wrong = json.dumps([GOOD, None, [str(traps)], {}]).encode()
        for name, data in (("pickle", bomb("pickle")), ("call", call("call")), ("wrong", wrong)):
            plant(name, data)
            plant(f"{name}-s", data, key="rq:scheduled:default", status="scheduled")
            plant(f"{name}-a", data, key="rq:wip:default", status="started", retries_left="1")
            redis.zadd("rq:wip:default", {f"{name}-a:execution": 1})
        redis.sadd("rq:groups", "g")
        redis.sadd("rq:group:g", "good", "pickle")
        plant("lost", bomb("lost"), key="rq:elsewhere")
        redis.rpush("rq:queue:default:intermediate", "lost")
        command = [*MANAGE, "rqworker", "--burst", "--with-scheduler"]
        listener.setblocking(False)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert ended.returncode == 0, ended.stderr
    assert list(traps.iterdir()) == []
    assert "Traceback" not in ended.stderr
    failed = SuiteQueue("default", connection=redis).failed_job_registry.get_job_ids()
    codes = {job_id: redis.hget(f"rq:job:{job_id}", "error_code") for job_id in failed}
    assert codes == {
        **dict.fromkeys(("pickle", "call", "pickle-s", "call-s"), b"SW_JOB_REFUSED"),
        **dict.fromkeys(("pickle-a", "call-a"), b"SW_JOB_KILLED"),
        **dict.fromkeys(("wrong", "wrong-s", "wrong-a"), b"SW_JOB_REFUSED"),
        "failing": b"SW_SYNC_NOT_REGISTERED",
    }
    assert redis.llen("rq:queue:default") == redis.exists("rq:job:good") == 0
