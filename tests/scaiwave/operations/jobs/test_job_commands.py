"""`scaiwave jobs`: list, show, retry and clear, with a real Redis."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings
from redis import Redis

from scaiwave.cli.verbs import VerbPath
from scaiwave.core.mentions import ErasedTenant, Mentions
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.jobs.last_runs import write_last_run
from scaiwave.operations.jobs.manage import clear_jobs, delete_job, retry_job
from scaiwave.operations.jobs.queries import list_jobs, show_job
from scaiwave.operations.jobs.scheduler import Scheduler
from scaiwave.operations.jobs.tenant_places import list_places
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import (
    JobNotFailed,
    JobNotFound,
    JobRefused,
    JobRunning,
    RedisUnreachable,
)
from scaiwave.queue.jobs import JOBS
from tenants.audit.record import AuditSubject, record_audit
from tenants.models import AuditEntry
from tests import queue_helpers
from tests.queue_helpers import REQUESTED_SYNC, plant_call, plant_job, take
from tests.scaiwave.row_factories import NOW, make_tenant
from tests.test_authorisation import run
from tests.test_json_output import assert_names, match, read_page

pytestmark = [pytest.mark.redis, pytest.mark.django_db]
HOST = get_host_operator()
SYNC = "identity_sync.jobs.full_sync"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run_jobs(monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda name, *arguments: run(("jobs", name), list(arguments), monkeypatch)


def plant_failed(redis: Redis, job_id: str, call: tuple[str, ...] = (SYNC,)) -> None:
    queue_helpers.plant_failed(redis, job_id, "It was\x1b[31m killed.", call)


def get_states() -> dict[str, str]:
    rows = list_jobs(operator=HOST, state=None, limit=None)
    return {row["id"]: row["state"] for row in rows}


def confirm(question: str) -> None:
    assert question.startswith("This deletes ")


def test_success_jobs_that_mention_an_erased_tenant(redis: Redis) -> None:
    tenant, (place,) = (
        ErasedTenant(UUID(int=1), Mentions([str(UUID(int=1)), "acme"])),
        list_places(),
    )
    plant_failed(redis, "failed", ("identity_sync.jobs.run_requested_sync", str(UUID(int=1))))
    plant_call(redis, "waiting", *REQUESTED_SYNC)
    plant_call(redis, "other", "identity_sync.jobs.run_requested_sync", str(UUID(int=2)))
    plant_call(redis, "sync", SYNC)
    assert place.count(tenant) == 2
    place.erase(tenant)
    assert (place.count(tenant), set(get_states())) == (0, {"other", "sync"})


def test_success_list_and_show(redis: Redis, run_jobs: Run) -> None:
    plant_failed(redis, "failed")
    plant_call(redis, "waiting", SYNC)
    plant_job(redis, "pickled", pickle.dumps(("os.abort", None, (), {})))
    redis.rpush("rq:queue:default", "expired")
    rows = {row["id"]: row for row in list_jobs(operator=HOST, state=None, limit=None)}
    assert list(rows) == ["waiting", "pickled", "failed"]
    assert rows["failed"]["error"]["code"] == "SW_JOB_KILLED"
    assert rows["pickled"]["problem"] == "it is pickled, as in earlier releases"
    assert show_job(operator=HOST, job_id="failed")["function"] == SYNC
    code, out = run_jobs("list")
    assert code == 0
    assert "\x1b" not in out
    code, out = run_jobs("show", "failed")
    assert "\x1b" not in out
    assert "[SW_JOB_KILLED]" in out
    code, out = run_jobs("list", "--state", "failed", "--csv")
    (line,) = csv.DictReader(io.StringIO(out))
    assert line["id"] == "failed"


def test_success_schedule(redis: Redis, run_jobs: Run, settings: Settings) -> None:
    def read() -> dict[str, dict[str, Any]]:
        code, out = run_jobs("schedule", "--json")
        assert code == 0
        return {row["name"]: row for row in json.loads(out)["jobs"]}

    nothing = {"next_at": None, "last_at": None, "outcome": None, "error_code": None}
    found = read()
    assert set(found) == {each.name for each in JOBS.values() if each.cron}
    assert found["full_sync"] == {
        "name": "full_sync",
        "schedule": "every 10 minutes, from minute 3 of the hour",
        "cron": "3-59/10 * * * *",
        "command": "sync --scheduled --wait 60",
        "problem": "No scheduler is active.",
        "started_by": None,
        **nothing,
    }
    assert found["refresh_usage"]["problem"] == "SCAIWAVE_SCAIGRID_URL is not set."
    clock = lambda: datetime(2026, 12, 1, 12, 4, tzinfo=UTC)  # noqa: E731
    Scheduler(redis, [JOBS[SYNC], JOBS["rooms.jobs.run_retention"]], clock).step()
    plant_failed(redis, "a")
    write_last_run(redis, SYNC, error_code="SW_JOB_KILLED")
    write_last_run(redis, "rooms.jobs.run_retention")
    found = read()
    assert found["full_sync"]["next_at"] == "2026-12-01T12:13:00Z"
    shown = ("outcome", "error_code", "problem", "started_by")
    failed, completed = ["failed", "SW_JOB_KILLED"], ["completed", None]
    assert [found["full_sync"][key] for key in shown] == [*failed, None, "scheduler"]
    assert [found["run_retention"][key] for key in shown] == [*completed, None, "scheduler"]
    assert found["full_sync"]["last_at"] is not None
    restart = "The active scheduler was started with other settings: restart it."
    assert found["seal_audit"]["problem"] == restart
    settings.REDIS_URL = ""
    assert read()["full_sync"] == {
        **found["full_sync"],
        **nothing,
        "started_by": "cron",
    }
    assert found["record_figures"]["schedule"] == "every day at 23:53 UTC"
    assert read()["record_figures"]["schedule"] == "every day at 23:53, host's time"
    assert read()["refresh_usage"]["started_by"] is None
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    down = read()
    assert down["full_sync"]["problem"].startswith("Redis can't be used: Error 111 connecting to ")
    assert [down["backfill_search"][key] for key in shown[2:]] == [None, "cron"]


def test_success_documents_are_as_documented(redis: Redis, run_jobs: Run) -> None:
    documents = {}
    for name, *arguments in (
        ("list", "--state", "failed"),
        ("schedule",),
        ("show", "a"),
        ("retry", "a"),
        ("delete", "a", "--yes"),
        ("clear", "--yes"),
    ):
        plant_failed(redis, "a")
        code, out = run_jobs(name, *arguments, "--json")
        assert code == 0, out
        documents["jobs", name] = json.loads(out)
    page: dict[VerbPath, Any] = read_page()
    for words, document in documents.items():
        assert_names(document)
        assert match(document, page[words]), words


def test_success_retry(redis: Redis) -> None:
    plant_failed(redis, "a")
    retry_job(operator=HOST, job_id="a", now=NOW, dry_run=True)
    assert (get_states(), AuditEntry.objects.count()) == ({"a": "failed"}, 0)
    retry_job(operator=HOST, job_id="a", now=NOW)
    assert get_states() == {"a": "waiting"}
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_type, entry.subject_id, entry.subject_name) == (
        *("jobs retry", "job", "a", "full_sync"),
    )
    job = take(redis)
    assert job is not None
    assert job.last_error is None


def test_fail_retry(redis: Redis) -> None:
    with pytest.raises(JobNotFound):
        retry_job(operator=HOST, job_id="../nothing", now=NOW)
    plant_call(redis, "waiting", SYNC)
    with pytest.raises(JobNotFailed):
        retry_job(operator=HOST, job_id="waiting", now=NOW)
    plant_call(redis, "foreign", "subprocess.run", ["id"])
    redis.lrem("rq:queue:default", 0, "foreign")
    redis.zadd("rq:failed:default", {"foreign": 2e9})
    with pytest.raises(JobRefused):
        retry_job(operator=HOST, job_id="foreign", now=NOW)
    redis.flushdb()
    plant_failed(redis, "once", call=REQUESTED_SYNC)
    with pytest.raises(JobRefused, match="it was a request, and each runs once") as caught:
        retry_job(operator=HOST, job_id="once", now=NOW)
    assert caught.value.fix == "Start another one: Sync now or Dry run in the admin site."
    assert AuditEntry.objects.count() == 0
    subject = AuditSubject("syncrun", REQUESTED_SYNC[1], "acme (dry run)")
    record_audit(HOST, "request-sync", subject, NOW, {"dry_run": True}, tenant=make_tenant("acme"))
    with pytest.raises(JobRefused) as caught:
        retry_job(operator=HOST, job_id="once", now=NOW)
    assert caught.value.fix == "Start another one: `scaiwave sync --tenant acme --dry-run`."


def test_success_clear(redis: Redis) -> None:
    plant_failed(redis, "failed")
    plant_call(redis, "waiting", SYNC)
    plant_job(redis, "pickled", b"\x80")
    planned = clear_jobs(operator=HOST, state="waiting", confirm=confirm, now=NOW, dry_run=True)
    assert planned.subject["count"] == 2
    assert len(get_states()) == 3
    result = clear_jobs(operator=HOST, state="waiting", confirm=confirm, now=NOW)
    assert (result.subject["count"], get_states()) == (2, {"failed": "failed"})
    assert clear_jobs(operator=HOST, state="failed", confirm=confirm, now=NOW).subject["count"] == 1
    assert clear_jobs(operator=HOST, state="failed", confirm=confirm, now=NOW).subject["count"] == 0
    assert redis.keys("rq:job:*") == redis.keys("rq:queue:*") == []
    details = AuditEntry.objects.order_by("pk").values_list("details", flat=True)
    assert [entry["jobs"] for entry in details] == [
        {"full_sync": 1, "refused": 1},
        {"full_sync": 1},
    ]


def test_success_delete(redis: Redis) -> None:
    plant_failed(redis, "failed")
    plant_call(redis, "waiting", SYNC)
    plant_job(redis, "pickled", b"\x80")
    for job_id, state in (("failed", "failed"), ("pickled", "waiting")):
        delete_job(operator=HOST, job_id=job_id, confirm=confirm, now=NOW, dry_run=True)
        assert get_states()[job_id] == state
        delete_job(operator=HOST, job_id=job_id, confirm=confirm, now=NOW)
        assert redis.keys(f"rq:job:{job_id}") == []
    assert get_states() == {"waiting": "waiting"}
    entries = AuditEntry.objects.order_by("pk").values_list("action", "subject_name", "details")
    assert list(entries) == [
        ("jobs delete", "full_sync", {"state": "failed", "error": "SW_JOB_KILLED"}),
        ("jobs delete", "refused", {"state": "waiting", "error": ""}),
    ]


def test_fail_delete(redis: Redis) -> None:
    with pytest.raises(JobNotFound):
        delete_job(operator=HOST, job_id="nothing", confirm=confirm, now=NOW)
    plant_call(redis, "running", SYNC)
    redis.delete("rq:queue:default")
    redis.zadd("rq:wip:default", {"running:execution": 2e9})
    with pytest.raises(JobRunning):
        delete_job(operator=HOST, job_id="running", confirm=confirm, now=NOW)
    assert get_states() == {"running": "running"}
    assert AuditEntry.objects.count() == 0


def test_fail_delete_what_a_worker_takes_at_the_question(redis: Redis) -> None:
    plant_call(redis, "waiting", SYNC)

    def take(question: str) -> None:
        assert queue_helpers.take(redis) is not None

    with pytest.raises(JobNotFound):
        delete_job(operator=HOST, job_id="waiting", confirm=take, now=NOW)
    assert redis.exists("rq:job:waiting")


def test_fail_redis_is_down(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(RedisUnreachable):
        list(list_jobs(operator=HOST, state=None, limit=1))


def test_fail_the_host_name_of_redis_is_unknown(settings: Settings) -> None:
    settings.REDIS_URL = "redis://redis.invalid:6379/0"
    with pytest.raises(RedisUnreachable) as caught, open_redis() as redis:
        redis.ping()
    assert caught.value.message == "The host name in SCAIWAVE_REDIS_URL can't be resolved."
    assert caught.value.fix == "Check its spelling, and this host's DNS."
