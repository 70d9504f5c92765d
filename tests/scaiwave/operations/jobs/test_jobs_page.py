"""The page Jobs of the admin site, with a real Redis."""

from __future__ import annotations

import json
import pickle
import re
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from redis import Redis
from rq.utils import utcformat

from scaiwave.config import load
from scaiwave.operations.jobs.last_runs import LAST_RUNS_KEY
from scaiwave.queue.jobs import JOBS
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.models import AdminUser, AuditEntry
from tests.queue_helpers import (
    REQUESTED_SYNC,
    plant_call,
    plant_failed,
    plant_job,
    plant_scheduler,
    plant_worker,
)
from tests.scaiwave.operations.jobs.test_planted_jobs import Bomb
from tests.scaiwave.site.pages import strip_markup
from tests.scaiwave.site.scaikey_sessions import sign_in
from tests.tenants.silent_scaikey import SilentServer

pytestmark = [pytest.mark.redis, pytest.mark.django_db, pytest.mark.dated]
SYNC = "identity_sync.jobs.full_sync"
HOSTILE = "<script>alert(1)</script>\N{RIGHT-TO-LEFT OVERRIDE}"


def open_page(client: Client, query: str = "") -> Any:
    answer = client.get(reverse("admin:jobs") + query)
    assert answer.status_code == HTTPStatus.OK
    return answer


def read_rows(answer: Any) -> list[str]:
    """Return the texts of the rows of all tables."""
    body = answer.content.decode()
    return [strip_markup(row) for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)]


def read_listed(answer: Any) -> list[str]:
    return [job["id"] for job in answer.context["jobs"]]


def test_success_shows_workers_and_schedulers_with_a_judgement(
    redis: Redis, client: Client
) -> None:
    plant_call(redis, "job", SYNC, status="started", worker_name="busy")
    redis.lrem("rq:queue:default", 0, "job")
    redis.zadd("rq:wip:default", {"job:execution": time.time() + 60})
    plant_worker(redis, "busy", state="busy")
    old = utcformat(datetime.now(UTC) - timedelta(minutes=1))
    plant_worker(redis, "silent", last_heartbeat=old)
    ahead = utcformat(datetime.now(UTC) + timedelta(hours=1))
    plant_worker(redis, "early", last_heartbeat=ahead)
    plant_worker(redis, "foreign")
    redis.hdel("rq:worker:foreign", "scaiwave")
    plant_scheduler(redis, "active", next_runs={"full_sync": "2026-11-26T12:03:00+00:00"})
    plant_scheduler(redis, "second", is_active=False, next_runs={})
    rows = {row.partition(" ")[0]: row for row in read_rows(open_page(client))}
    assert "worker.example, process 17 well busy full_sync" in rows["busy"]
    assert "problem It has sent no heartbeat for 6" in rows["silent"]
    assert "problem Its last heartbeat is in the future" in rows["early"]
    assert "runs whatever Redis contains" in rows["foreign"]
    assert "scheduler.example, process 18 active" in rows["active"]
    assert "standby" in rows["second"]
    assert "2026-11-26 12:03:00" in rows["full_sync"]


def test_success_without_processes_it_names_the_commands_that_start_them(
    redis: Redis, client: Client
) -> None:
    body = open_page(client).content.decode()
    assert "<code>scaiwave worker</code>" in body
    assert "<code>scaiwave scheduler</code>" in body


def test_success_the_schedule_has_every_job_with_its_last_run(
    redis: Redis, client: Client, settings: Settings
) -> None:
    settings.CONFIG = load({"SCAIWAVE_PURGE_AFTER_DAYS": "0"})
    plant_failed(redis, "a")
    last = {"ended_at": "2026-11-25T23:53:04+00:00", "error_code": ""}
    redis.hset(LAST_RUNS_KEY, "tenants.jobs.record_figures", json.dumps(last))
    plant_scheduler(redis, "active")
    answer = open_page(client, "?state=waiting")
    rows = {row.partition(" ")[0]: row for row in read_rows(answer)}
    assert {definition.name for definition in JOBS.values()} <= set(rows)
    assert "every 10 minutes, from minute 3 of the hour 3-59/10 * * * *" in rows["full_sync"]
    assert "scaiwave sync --scheduled --wait 60 Sync now" in rows["full_sync"]
    assert "failed SW_JOB_KILLED" in rows["full_sync"]
    assert "completed 2026-11-25 23:53:04" in rows["record_figures"]
    assert "restart it" in rows["record_figures"], "the scheduler does not plan it"
    assert rows["seal_audit"].endswith("unknown")
    assert "off SCAIWAVE_SCAIGRID_URL is not set." in rows["refresh_usage"]
    assert "off SCAIWAVE_PURGE_AFTER_DAYS is 0." in rows["purge_participants"]
    by_cron = "every hour at minute 37 started by cron"
    assert rows["backfill_search"].startswith(f"backfill_search {by_cron} 37 * * * *")
    assert "on request: webhooks from ScaiKey" in rows["process_webhooks"]


def test_success_a_failed_job_has_its_error_fix_times_and_attempts(
    redis: Redis, client: Client
) -> None:
    plant_failed(redis, "a", "The process ended by signal 9.")
    redis.hset("rq:job:a", "attempts", 3)
    (row,) = [row for row in read_rows(open_page(client)) if row.startswith("full_sync a ")]
    assert "The process ended by signal 9. SW_JOB_KILLED Look for the reason" in row
    assert f"{datetime.now(UTC):%Y-%m-%d}" in row
    assert row.endswith("3 Run again Delete")


def test_success_states_and_pages_with_the_newest_first(redis: Redis, client: Client) -> None:
    for number in range(30):
        plant_call(redis, f"waiting-{number}", SYNC)
    for number in range(3):
        redis.hset(f"rq:job:failed-{number}", mapping={"data": "x"})
        redis.zadd("rq:failed:default", {f"failed-{number}": time.time() + 100 + number})
    redis.zadd("rq:failed:default", {"expired": 1})
    first, second = open_page(client), open_page(client, "?page=2")
    assert read_listed(first)[:4] == ["failed-2", "failed-1", "failed-0", "waiting-29"]
    assert read_listed(second) == [f"waiting-{number}" for number in range(7, -1, -1)]
    assert len(read_listed(first)) == 25
    assert "Page 2 of 2" in second.content.decode()
    assert read_listed(open_page(client, "?state=failed")) == ["failed-2", "failed-1", "failed-0"]
    assert read_listed(open_page(client, "?state=waiting&page=2"))[-1] == "waiting-0"
    for query in ("?page=999999999", "?page=9999999999999", "?page=-1", "?page=²", "?state=odd"):
        assert open_page(client, query).context["page"].number in (1, 2)
    assert read_listed(open_page(client, "?state=running")) == []


def test_success_what_anyone_can_leave_in_redis_is_escaped(redis: Redis, client: Client) -> None:
    plant_failed(redis, "hostile", HOSTILE * 40)
    plant_job(redis, "pickled", pickle.dumps(Bomb()))
    plant_call(redis, "foreign", HOSTILE)
    plant_call(redis, "expired", SYNC)
    redis.delete("rq:job:expired")
    error: dict[Any, Any] = {"error_code": HOSTILE, "error_fix": f"`{HOSTILE}`"}
    redis.hset("rq:job:hostile", mapping=error)
    redis.hset("rq:job:hostile", "started_at", "9999-12-31T23:59:59.999999Z")
    redis.hset("rq:job:hostile", "enqueued_at", "0001-01-01T00:00:00.000000Z")
    redis.rpush("rq:queue:default", HOSTILE)
    plant_worker(redis, HOSTILE, hostname=HOSTILE, state=HOSTILE)
    redis.sadd("rq:workers", "absent")
    plant_scheduler(redis, "odd", host=HOSTILE)
    answer = open_page(client)
    body = answer.content.decode()
    assert "<script>alert" not in body
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in body
    assert "&lt;script&gt;alert" in body
    assert len(body) < 100_000
    for problem in (
        "it is pickled, as in earlier releases",
        "is not a function that workers may run",
    ):
        assert problem in body


def test_success_without_redis_it_has_the_schedule_and_how_cron_does_it(
    client: Client, settings: Settings
) -> None:
    settings.REDIS_URL = ""
    answer = open_page(client)
    body = answer.content.decode()
    assert "has no Redis" in body
    assert "every day at 23:53, host&#x27;s time" in body
    assert "scaiwave admin show-deploy-file crontab" in body
    assert "scaiwave admin record-figures" in body
    assert not answer.context["error"]


def test_fail_redis_is_down(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://:geheim77@127.0.0.1:1/0"
    settings.CONFIG = load({"SCAIWAVE_REDIS_URL": settings.REDIS_URL})
    body = open_page(client).content.decode()
    assert "SW_REDIS_UNREACHABLE" in body
    assert "Start Redis or correct SCAIWAVE_REDIS_URL" in body
    assert "geheim" not in body
    assert "scaiwave admin record-figures" in body


def test_fail_redis_is_silent(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.queue.connection.TIMEOUT_SECONDS", 0.1)
    server = SilentServer()
    settings.REDIS_URL = server.url.replace("http", "redis")
    assert open_page(client).context["error"].code == "SW_REDIS_UNREACHABLE"
    server.close()


def test_fail_an_act_while_redis_is_down(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = client.post(reverse("admin:act", args=["jobs-retry", "a"]))
    assert answer.status_code == HTTPStatus.CONFLICT
    assert "SW_REDIS_UNREACHABLE" in answer.content.decode()


def test_success_a_failed_job_runs_again(redis: Redis, client: Client) -> None:
    plant_failed(redis, "a")
    (job,) = open_page(client).context["jobs"]
    retry, delete = (act.url for act in job["acts"])
    assert "where a worker runs it again" in client.get(retry).content.decode()
    assert not AuditEntry.objects.exists()
    answer = client.post(retry, follow=True)
    assert answer.request["PATH_INFO"] == reverse("admin:jobs")
    assert "Job a put into the queue again." in answer.content.decode()
    assert read_listed(open_page(client, "?state=waiting")) == ["a"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.subject_id) == ("jobs retry", "root", "a")
    assert client.post(retry).status_code == HTTPStatus.FOUND, "it is waiting now"
    assert client.get(delete).status_code == HTTPStatus.OK


def test_success_a_job_is_deleted_after_a_question(redis: Redis, client: Client) -> None:
    plant_failed(redis, "a")
    plant_job(redis, "pickled", b"\x80")
    for job_id, state in (("a", "failed"), ("pickled", "waiting")):
        url = reverse("admin:act", args=["jobs-delete", job_id])
        asked = client.post(url)
        assert asked.context["question"].startswith(f"This deletes the {state} job {job_id} (")
        assert redis.exists(f"rq:job:{job_id}")
        client.post(url, {"confirmed": asked.context["confirmation"]})
        assert not redis.exists(f"rq:job:{job_id}")
        assert client.post(url).status_code == HTTPStatus.NOT_FOUND
    assert read_listed(open_page(client)) == []
    assert [entry.action for entry in AuditEntry.objects.all()] == ["jobs delete"] * 2


def test_success_a_refused_job_can_only_be_deleted(redis: Redis, client: Client) -> None:
    redis.hset("rq:job:foreign", "data", "x")
    redis.zadd("rq:failed:default", {"foreign": time.time() + 100})
    (foreign,) = open_page(client).context["jobs"]
    assert [act.title for act in foreign["acts"]] == ["Delete"]
    for job_id in ("<b>", "\x00", "x" * 500):
        url = reverse("admin:act", args=["jobs-retry", job_id])
        assert client.post(url).status_code in (HTTPStatus.FOUND, HTTPStatus.NOT_FOUND)


def test_fail_only_accounts_that_see_everything_see_the_page(
    redis: Redis, client: Client, settings: Settings
) -> None:
    settings.AUTHENTICATION_BACKENDS = [*django_settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    viewer = AdminUser.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.all())
    looking = Client()
    looking.force_login(viewer)
    refused = [
        looking,
        sign_in("partner_admin", partner="prt-x"),
        sign_in("tenant_admin", tenant="tnt-x"),
    ]
    url = reverse("admin:jobs")
    plant_failed(redis, "a")
    for other in refused:
        assert other.get(url).status_code == HTTPStatus.FORBIDDEN
        assert f'href="{url}"' not in other.get(reverse("admin:index")).content.decode()
        act = reverse("admin:act", args=["jobs-retry", "a"])
        assert other.post(act).status_code == HTTPStatus.FORBIDDEN
    cards = looking.get(reverse("admin:index")).context["overview"]["health"]
    assert {card["title"] for card in cards} >= {"Workers", "Scheduler"}, "without their links"
    assert Client().get(url).status_code == HTTPStatus.FOUND
    for seeing in (client, sign_in("super_admin")):
        assert f'<a href="{url}">Workers</a>' in seeing.get(reverse("admin:index")).content.decode()
        assert 'href="/admin/jobs/" aria-current="page">Jobs</a>' in (
            seeing.get(url).content.decode()
        )


def test_success_a_requested_sync_is_not_offered_again(redis: Redis, client: Client) -> None:
    """Its run can be repeated, as a new request."""
    plant_failed(redis, "a", call=REQUESTED_SYNC)
    (job,) = open_page(client).context["jobs"]
    assert [act.title for act in job["acts"]] == ["Delete"]
    assert client.post(reverse("admin:act", args=["jobs-retry", "a"])).status_code == 302


def test_success_an_account_that_may_only_look_sees_no_acts(
    redis: Redis, client: Client, settings: Settings
) -> None:
    settings.CONFIG = load({"SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true"})
    plant_failed(redis, "a")
    answer = open_page(client)
    (job,) = answer.context["jobs"]
    assert job["acts"] == []
    assert reverse("admin:act", args=["sync"]) not in answer.content.decode()
    assert client.post(reverse("admin:act", args=["jobs-delete", "a"])).status_code == 403
