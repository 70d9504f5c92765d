"""Syncs that someone asks for in the admin site: queued, or in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from redis import Redis

from identity_sync import jobs
from identity_sync.errors import (
    SyncCollectionEmpty,
    SyncNotStarted,
    SyncRequestInvalid,
)
from identity_sync.models import LOCK, Registration, RegistrationState, SyncRun
from identity_sync.reports.judgement import RunScope, judge_runs
from identity_sync.sync.options import RequestedRun
from identity_sync.sync.request import (
    JOB,
    MAX_REQUEST_AGE,
    SyncRequest,
    run_request,
    start_sync,
    wait_for_run,
)
from scaiwave.clients.scaikey.client import ScaiKeyClient, scaikey_client
from scaiwave.config import Configuration
from scaiwave.core.locks import lock_file, process_lock
from scaiwave.ids import new_id
from scaiwave.queue.launch import is_waiting, launch, name_process
from scaiwave.queue.rq_queue import SuiteJob
from scaiwave.sandbox import Sandbox
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.models import AdminUser, AuditEntry, Participant, Tenant
from tests.concurrency import run_concurrently
from tests.identity_sync.sync.helpers import HOST, USERS, list_people_of_tenant, sync
from tests.identity_sync.sync.processes import Server, wait_for
from tests.identity_sync.webhooks.live_server import LiveServer, serve
from tests.queue_helpers import take
from tests.scaiwave import row_factories
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT
from tests.scaiwave.site.pages import sign_in, submit
from tests.scaiwave.site.scaikey_sessions import sign_in as sign_in_with_scaikey
from tests.tenants.fake_scaikey import make_config
from tests.tenants.silent_scaikey import SilentServer

PASSWORD = "correct horse battery"
pytestmark = [
    pytest.mark.sandbox(partners=1, tenants=2, people=80, groups=2, scim=False),
    pytest.mark.dated,
]


@pytest.fixture
def redis(redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Redis:
    settings.REDIS_URL = redis_url
    monkeypatch.setattr("identity_sync.site.acts.MAX_WAIT_SECONDS", 0.0)
    connection = Redis.from_url(redis_url)
    connection.flushdb()
    return connection


@pytest.fixture
def client() -> Client:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(AdminUser.objects.create_superuser("olga"))
    return client


def post(client: Client, slug: str, row: Any = None, **values: str) -> Any:
    return client.post(reverse("admin:act", args=[slug, row.pk] if row else [slug]), values)


def run_next_job(redis: Redis) -> SyncRun:
    """Do what a worker does with the next job, and return the run that it was."""
    job = take(redis)
    assert isinstance(job, SuiteJob)
    try:
        job.perform()
    finally:
        redis.flushdb()
    return SyncRun.objects.newest_first()[0]


def remove_people(sandbox: Sandbox, number: int) -> Tenant:
    """Remove people of one tenant, more than may lose access in one sync."""
    key = next(iter(sandbox.directory.tenants))
    for row in list_people_of_tenant(sandbox, key)[:number]:
        sandbox.directory.remove_user(row["id"])
    return Tenant.objects.get(scaikey_tenant_id=key)


@pytest.mark.django_db
def test_success_a_queued_sync_runs_as_promised(
    scaikey: Sandbox, redis: Redis, client: Client
) -> None:
    answer = post(client, "sync")
    assert (answer.status_code, answer["Location"]) == (
        HTTPStatus.FOUND,
        reverse("admin:identity_sync_syncrun_changelist"),
    )
    entry = AuditEntry.objects.get(action="request-sync")
    assert (entry.operator, entry.operator_role, entry.origin) == (
        "olga",
        "super_admin",
        "203.0.113.7",
    )
    assert entry.details == {"dry_run": False}

    again = post(client, "sync")
    assert again.status_code == HTTPStatus.CONFLICT
    assert "is waiting for a worker" in again.content.decode()
    assert AuditEntry.objects.count() == 1

    run = run_next_job(redis)
    assert str(run.pk) == entry.subject_id
    assert (run.outcome, run.trigger, run.operator, run.tenant) == (
        "applied",
        "manual",
        "olga",
        None,
    )
    audited = AuditEntry.objects.get(action="sync")
    assert (audited.operator, audited.operator_role, audited.subject_id) == (
        "olga",
        "super_admin",
        str(run.pk),
    )
    page = client.get(reverse("admin:tenants_auditentry_changelist"))
    assert reverse("admin:identity_sync_syncrun_change", args=[run.pk]) in page.content.decode()
    with pytest.raises(SyncRequestInvalid):
        run_request(run.pk, now=datetime.now(UTC))


@pytest.mark.django_db
def test_fail_the_process_ends_before_the_sync_begins(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"  # If it is down, the same holds as without one.
    assert not is_waiting(JOB)
    request = SyncRequest(new_id(), None, dry_run=False, is_queued=False)
    descriptor = lock_file(name_process(JOB))
    assert descriptor is not None
    assert not wait_for_run(request, 0.0)
    with pytest.raises(BlockingIOError, match=r"\Arun_requested_sync is running\Z"):
        launch(JOB, str(request.run_id))
    os.close(descriptor)
    with pytest.raises(SyncNotStarted, match="has ended before the sync began"):
        wait_for_run(request, 5.0)


@pytest.mark.django_db
def test_fail_the_other_process_of_a_request_has_run_it(scaikey: Sandbox) -> None:
    """Redis has kept the job although its answer was lost, so that a process was started too."""
    request = RequestedRun(new_id(), HOST)

    def connect(config: Configuration) -> ScaiKeyClient:
        sync(request=request)
        return scaikey_client(config)

    with pytest.raises(SyncRequestInvalid) as caught:
        sync(request=request, connect=connect)
    assert caught.value.message == f"The requested sync {request.run_id} has run already."
    assert [run.outcome for run in SyncRun.objects.all()] == ["applied"]


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_a_double_click_queues_one_sync(redis: Redis, scaikey: Sandbox) -> None:
    account = AdminUser.objects.create_superuser("olga")
    clients = [Client() for _ in range(4)]
    for each in clients:
        each.force_login(account)
    answers = run_concurrently(*(partial(post, each, "sync") for each in clients))
    assert sorted(answer.status_code for answer in answers) == [302, 409, 409, 409]
    assert len(redis.keys("rq:job:*")) == 1
    assert AuditEntry.objects.filter(action="request-sync").count() == 1


@pytest.mark.django_db
def test_success_a_dry_run_changes_nothing_and_is_shown(
    scaikey: Sandbox, redis: Redis, client: Client
) -> None:
    post(client, "sync-dry-run")
    run = run_next_job(redis)
    assert run.outcome == "planned"
    assert AuditEntry.objects.get().subject_name == "all tenants (dry run)"
    assert not Participant.objects.exists()
    page = client.get(reverse("admin:identity_sync_syncrun_change", args=[run.pk]))
    assert "80" in page.content.decode().partition('class="figures')[2]


@pytest.mark.django_db
def test_success_jobs_do_not_fail_because_removals_wait_for_a_decision(
    scaikey: Sandbox, redis: Redis, client: Client
) -> None:
    """Otherwise each scheduled sync would leave a failed job until someone decides."""
    jobs.full_sync()
    remove_people(scaikey, 30)
    assert jobs.full_sync()["outcome"] == "partial"
    for slug, outcome in (("sync", "partial"), ("sync-dry-run", "planned")):
        post(client, slug)
        assert run_next_job(redis).outcome == outcome


@pytest.mark.django_db
def test_success_a_refused_dry_run_does_not_fail_its_job(
    scaikey: Sandbox, redis: Redis, client: Client
) -> None:
    """Its run has the reason. It does not count when syncs are judged."""
    jobs.full_sync()
    scaikey.faults.add("wrong_shape", path=USERS, body={"data": [], "total": 0})
    scaikey.faults.add("status", path=f"{USERS}*", status=404)
    for _ in range(2):
        post(client, "sync-dry-run")
        assert run_next_job(redis).error_code == "SW_SYNC_COLLECTION_EMPTY"
    judgement = judge_runs(RunScope(HOST), config=settings.CONFIG, now=datetime.now(UTC))
    assert judgement.problems == []
    post(client, "sync")
    with pytest.raises(SyncCollectionEmpty):
        run_next_job(redis)


@pytest.mark.django_db
@pytest.mark.parametrize("slug", ["sync", "sync-dry-run"])
def test_success_a_run_is_repeated_as_a_new_request(
    slug: str, scaikey: Sandbox, redis: Redis, client: Client
) -> None:
    post(client, slug)
    first = run_next_job(redis)
    page = client.get(reverse("admin:identity_sync_syncrun_change", args=[first.pk]))
    (again,) = [act for act in page.context["acts"] if act.title == "Run again"]
    client.post(again.url)
    second = run_next_job(redis)
    assert (second.outcome, second.is_dry_run) == (first.outcome, first.is_dry_run)
    assert second.pk != first.pk


@pytest.mark.django_db
def test_fail_requests_that_can_not_run(
    scaikey: Sandbox, redis: Redis, client: Client, settings: Settings
) -> None:
    with pytest.raises(SyncRequestInvalid, match="No one has requested"):
        run_request(UUID(int=1), now=datetime.now(UTC))
    request = start_sync(operator=HOST, tenant=None, dry_run=False, now=datetime.now(UTC))
    late = datetime.now(UTC) + MAX_REQUEST_AGE + timedelta(seconds=1)
    with pytest.raises(SyncRequestInvalid, match="too long ago"):
        run_request(request.run_id, now=late)
    redis.flushdb()
    local = row_factories.make_tenant("lab")
    assert post(client, "sync-tenant-slug", local).status_code == HTTPStatus.FOUND
    with process_lock(LOCK):
        assert "SW_SYNC_LOCKED" in post(client, "sync").content.decode()
    settings.CONFIG = make_config(scaikey, SCAIWAVE_SCAIKEY_CLIENT_SECRET="")
    assert "SW_SYNC_CREDENTIALS_INCOMPLETE" in post(client, "sync").content.decode()
    assert AuditEntry.objects.filter(action="request-sync").count() == 1
    assert not redis.keys("rq:job:*")


@pytest.fixture
def own_partner(scaikey: Sandbox, settings: Settings) -> str:
    """Register this server for one partner, and return the partner's ScaiKey ID."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    partner = next(iter(scaikey.directory.partners))
    application = scaikey.clients.issue(
        name="ScaiWave",
        app_scope="PARTNER",
        app_type="SERVICE",
        target=partner,
        scopes=("admin:read",),
    )
    register_for("PARTNER", application.client_id)
    settings.CONFIG = make_config(
        scaikey,
        SCAIWAVE_SCAIKEY_CLIENT_ID=application.client_id,
        SCAIWAVE_SCAIKEY_CLIENT_SECRET=scaikey.clients.get_secret(application) or "",
    )
    return str(partner)


def register_for(scope: str, client_id: str) -> None:
    Registration.objects.update_or_create(
        client_id=client_id,
        defaults={
            "scope": scope,
            "state": RegistrationState.APPROVED,
            "requested_at": datetime.now(UTC),
        },
    )


@pytest.mark.django_db
def test_success_a_partner_admin_syncs_a_server_of_their_partner(
    own_partner: str, redis: Redis, settings: Settings
) -> None:
    list_url = reverse("admin:identity_sync_syncrun_changelist")
    own = sign_in_with_scaikey("partner_admin", partner=own_partner)
    assert "Sync now" in [act.title for act in own.get(list_url).context["acts"]]
    answer = post(own, "sync")
    assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, list_url)
    assert run_next_job(redis).tenant is None
    # The token of this server has the ID of the partner, so the service decides.
    other = sign_in_with_scaikey("partner_admin", partner="prt_other")
    assert "SW_AUTH_INSUFFICIENT_PERMISSION" in post(other, "sync").content.decode()
    tenant_admin = sign_in_with_scaikey("tenant_admin", tenant="tnt_any")
    assert post(tenant_admin, "sync").status_code == HTTPStatus.FORBIDDEN
    register_for("GLOBAL", settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"))
    assert post(own, "sync").status_code == HTTPStatus.FORBIDDEN
    assert AuditEntry.objects.filter(action="request-sync").count() == 1


@pytest.mark.django_db
def test_fail_scaikey_does_not_answer_a_partner_admin(
    own_partner: str, redis: Redis, settings: Settings
) -> None:
    """The request ends within seconds, and its error does not name the address of ScaiKey."""
    silent = SilentServer()
    settings.CONFIG = make_config(
        silent,
        SCAIWAVE_SCAIKEY_CLIENT_ID=settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"),
    )
    answer = post(sign_in_with_scaikey("partner_admin", partner=own_partner), "sync")
    silent.close()
    assert answer.status_code == HTTPStatus.CONFLICT
    text = answer.content.decode()
    assert "SW_UPSTREAM_UNREACHABLE" in text
    assert urlsplit(silent.url).netloc not in text
    assert "SCAIWAVE_" not in text


@pytest.fixture
def live(server: Server, sandbox: Sandbox, home: Path) -> Iterator[LiveServer]:
    (home / "pw").write_text(PASSWORD)
    (home / "pw").chmod(0o600)
    subprocess.run(
        [*SCRIPT, "admin", "create-administrator", "olga", "--password-file", str(home / "pw")],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    with serve(server.url, home, sandbox) as running:
        yield running


@pytest.mark.once
def test_success_without_redis_a_process_survives_the_web_server(
    live: LiveServer, sandbox: Sandbox
) -> None:
    """The administrator ends on the page of its run, or on the list if it is slow to start."""
    sandbox.latency = 20.0  # so that it is in progress however slow the pages are
    with httpx.Client(base_url=live.base_url, follow_redirects=True, timeout=60) as browser:
        sign_in(browser, "olga", PASSWORD)
        answer = submit(browser, "/admin/act/sync/")
        wait_for(live.runs)
        ((run_id,),) = live.database.rows("SELECT id FROM sw_sync_runs")
        page = f"/admin/identity_sync/syncrun/{UUID(str(run_id))}/change/"
        where = "this list as soon as its process is ready" in answer.text
        assert answer.url.path == ("/admin/identity_sync/syncrun/" if where else page)
        assert "running" in browser.get(page).text
        assert "SW_SYNC_LOCKED" in submit(browser, "/admin/act/sync/").text
    live.kill()
    sandbox.latency = 0.0
    wait_for(lambda: live.runs() == [("manual", "applied")])
    assert live.database.rows("SELECT operator FROM sw_sync_runs") == [("olga",)]
    entries = live.database.rows(
        "SELECT operator FROM sw_audit_entries WHERE action = 'request-sync'"
    )
    assert entries == [("olga",)]
    wait_for(lambda: not is_running(live))


def is_running(live: LiveServer) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            environment = path.with_name("environ").read_bytes()
        except OSError:
            continue
        ours = f"SCAIWAVE_HOME={live.home}".encode() in environment
        if ours and JOB.encode() in words and words[0] == sys.executable.encode():
            return True
    return False
