"""Exports and erasures that are started in the admin site: what their pages show and refuse."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from rooms.erasure import tenant_tasks
from rooms.erasure.certificate import verify_certificate
from rooms.erasure.tenant_tasks import MAX_START_TIME, run_task
from rooms.models import Event, Media, Room, TaskKind, TaskState, TenantTask
from rooms.moves.index import find_index
from scaiwave.core.errors import UsageError
from scaiwave.core.locks import process_lock
from scaiwave.core.sql import execute
from scaiwave.ids import new_id
from scaiwave.queue.rq_queue import SuiteJob
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.holds.hold import add_hold
from tenants.models import AdminUser, AuditEntry, SchemaState, Tenant, TenantErasure
from tests.concurrency import run_concurrently
from tests.queue_helpers import take
from tests.rooms.erasure.factories import NOT_EXPORTED, make_closed_tenant, plant
from tests.rooms.moves.factories import make_moving_tenant
from tests.scaiwave.row_factories import make_tenant_task
from tests.scaiwave.site.scaikey_sessions import sign_in
from tests.tenants.factories import HOST_OPERATOR

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]
REASON = {"reason": "contract ended"}
EXPORT = "admin-export-tenant-slug-output-dir-directory"
PLAN = "admin-erase-tenant-slug-plan-file-export-index"
ERASE = "admin-erase-tenant-slug-apply-plan-certificate-file"
CONTINUE = "admin-erase-tenant-id-certificate-file"
CERTIFICATE = "admin-erase-tenant-id-apply-plan-certificate-file"


@pytest.fixture(autouse=True)
def redis(redis_url: str, settings: Settings, tmp_path: Path) -> Redis:
    settings.REDIS_URL = redis_url
    settings.HOME = tmp_path
    connection = Redis.from_url(redis_url)
    connection.flushdb()
    return connection


@pytest.fixture
def client() -> Client:
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(AdminUser.objects.create_superuser("olga"))
    return client


@pytest.fixture
def tenant() -> Tenant:
    tenant = make_closed_tenant()
    Tenant.objects.filter(pk=tenant.pk).update(
        suspended_by_hand_at=timezone.now() - timedelta(days=8)
    )
    return Tenant.objects.get(pk=tenant.pk)


def post(client: Client, act: str, row: Any, **values: Any) -> Any:
    url = reverse("admin:act", args=[act, row.pk])
    answer = client.post(url, {**REASON, **values})
    if answer.status_code == HTTPStatus.OK and answer.context and answer.context["question"]:
        confirmed = {"confirmed": answer.context["confirmation"]}
        answer = client.post(url, {**REASON, **values, **confirmed})
    return answer


def read(client: Client, row: Any) -> str:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    text: str = client.get(url).content.decode()
    return text


def list_acts(client: Client, row: Any) -> list[str]:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return [act.title for act in client.get(url).context["acts"]]


def get_code(row: Any) -> str:
    return str(row.error["code"])


def work(redis: Redis) -> None:
    """Do what a worker does with the next job."""
    job = take(redis, "background")
    assert isinstance(job, SuiteJob)
    job.perform()
    redis.flushdb()


def do(client: Client, redis: Redis, act: str, row: Any, **values: Any) -> TenantTask:
    """Start a task, let it run, and return it."""
    answer = post(client, act, row, **values)
    assert answer.status_code == HTTPStatus.FOUND, answer.content.decode()
    task = TenantTask.objects.order_by("-requested_at")[0]
    assert answer["Location"] == reverse("admin:rooms_tenanttask_change", args=[task.pk])
    assert "data-live" in read(client, task)
    work(redis)
    return TenantTask.objects.filter(pk=task.pk).first() or task


def test_success_an_export_its_page_and_what_has_changed_since(
    client: Client, redis: Redis, tmp_path: Path
) -> None:
    tenant = make_moving_tenant()
    url = reverse("admin:act", args=[EXPORT, tenant.pk])
    assert "The tenant has none" in client.get(url).content.decode()
    assert "incremental" not in client.get(url).context["form"].fields
    first = do(client, redis, EXPORT, tenant)
    index = find_index(Path(first.directory))
    assert index is not None
    assert Path(first.directory).parent == tmp_path / "exports"
    assert Path(first.directory).stat().st_mode & 0o777 == 0o700
    page = read(client, first)
    assert f"{len(index.exported)} rooms, " in page
    assert first.directory in page
    assert "data-live" not in page
    assert all(str(room.reason) in page for room in index.not_exported)
    entries = AuditEntry.objects.filter(action__in=["request-export", "export-tenant"])
    assert {(entry.operator, entry.origin) for entry in entries} == {("olga", "203.0.113.7")}
    assert entries.count() == 2
    again = do(client, redis, EXPORT, tenant, incremental="on", freeze="on")
    assert (again.directory, again.state, again.result["frozen"]) == (
        first.directory,
        TaskState.FINISHED,
        True,
    )
    tenant.refresh_from_db()
    assert tenant.suspended_by_hand_at is not None
    listed = client.get(
        reverse("admin:rooms_tenanttask_changelist"), {"tenant__id__exact": str(tenant.pk)}
    )
    assert listed.context["heading"].current_title == "Exports"
    assert listed.context["cl"].result_count == 2


def test_fail_a_second_task_while_one_is_in_progress(
    client: Client, redis: Redis, tenant: Tenant
) -> None:
    assert post(client, EXPORT, tenant).status_code == HTTPStatus.FOUND
    second = post(client, EXPORT, tenant)
    assert second.status_code == HTTPStatus.CONFLICT
    assert "is waiting." in second.content.decode()
    (task,) = TenantTask.objects.all()
    late = task.requested_at - MAX_START_TIME
    TenantTask.objects.update(state=TaskState.RUNNING, requested_at=late)
    with process_lock(tenant_tasks._name_lock(tenant.pk)):
        assert "is running." in post(client, EXPORT, tenant).content.decode()
        assert "data-live" in read(client, task)
    assert "interrupted" in read(client, task)
    work(redis)  # It is no longer waiting.
    assert TenantTask.objects.get().state == TaskState.RUNNING
    assert do(client, redis, EXPORT, tenant).state == TaskState.FINISHED
    task.refresh_from_db()
    assert task.state == TaskState.FAILED
    assert task.error == {
        "code": "SW_TENANT_BUSY",
        "message": "Its process has ended early.",
        "fix": "Start it again.",
    }


def test_fail_an_export_that_fails_is_shown_and_continued(
    client: Client, redis: Redis, tenant: Tenant, tmp_path: Path
) -> None:
    (tmp_path / "exports").write_text("no directory")
    failed = do(client, redis, EXPORT, tenant)
    assert failed.state == TaskState.FAILED
    page = read(client, failed)
    assert get_code(failed) in page
    assert "failed" in page
    (tmp_path / "exports").unlink()
    again = do(client, redis, EXPORT, tenant, incremental="on")
    assert (again.state, again.directory) == (TaskState.FINISHED, failed.directory)


def test_success_a_tenant_is_erased_by_a_plan(
    client: Client, redis: Redis, tenant: Tenant, tmp_path: Path
) -> None:
    texts = plant(tenant, make_moving_tenant("other"))
    early = post(client, PLAN, tenant, not_exported=0, missing_files=0)
    assert "has no finished export" in early.content.decode()
    exported = do(client, redis, EXPORT, tenant, freeze="on")
    refused = do(client, redis, PLAN, tenant, not_exported=0, missing_files=0)
    assert get_code(refused) == "SW_USAGE"
    assert f"--not-exported {NOT_EXPORTED}" in read(client, refused)
    plan = do(client, redis, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0)
    assert plan.state == TaskState.FINISHED, plan.error
    assert "tenants.Participant" in read(client, plan)
    assert list_acts(client, plan) == ["Erase for good"]
    assert list_acts(client, exported) == []
    wrong = post(client, ERASE, plan, slug="acne")
    assert "This is not the slug of this tenant." in wrong.content.decode()
    assert Event.objects.filter(tenant=tenant).exists()
    do(client, redis, ERASE, plan, slug=tenant.slug, backups_gone_by="2027-03-01")
    assert not Tenant.objects.filter(pk=tenant.pk).exists()
    assert not TenantTask.objects.exists()
    erasure = TenantErasure.objects.get()
    gone = client.get(reverse("admin:rooms_tenanttask_change", args=[plan.pk]))
    assert gone["Location"] == reverse("admin:tenants_tenanterasure_changelist")
    page = read(client, erasure)
    assert "finished" in page
    assert [text for text in texts if text in page] == []
    assert list_acts(client, erasure) == ["Download certificate"]
    answer = post(client, CERTIFICATE, erasure)
    (tmp_path / "certificate.json").write_bytes(answer.getvalue())
    proof, _ = verify_certificate(operator=HOST_OPERATOR, file=tmp_path / "certificate.json")
    assert (proof.operator, proof.operator_role) == ("olga", "super_admin")
    assert "2027-03-01" in {each.gone_by for each in proof.not_erased}


def test_success_missing_files_are_shown_and_allowed_in_the_plan(
    client: Client, redis: Redis, tenant: Tenant, tmp_path: Path
) -> None:
    media = Media.objects.filter(tenant=tenant).exclude(scan_status="infected")[0]
    default_storage.delete(media.storage_name)
    exported = do(client, redis, EXPORT, tenant, freeze="on")
    assert exported.state == TaskState.FINISHED
    name = media.in_rooms.order_by("name")[0].name
    message = f"1 file is missing in the export: {name}."
    assert message in read(client, exported)
    refused = do(client, redis, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0)
    assert get_code(refused) == "SW_MEDIA_FILES_MISSING"
    assert message in read(client, refused)
    page = client.get(reverse("admin:act", args=[PLAN, tenant.pk])).content.decode()
    assert "The option --allow-missing-files. The last export lacks 1." in page
    plan = do(client, redis, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=1)
    do(client, redis, ERASE, plan, slug=tenant.slug)
    certificate: Any = TenantErasure.objects.get().certificate
    assert certificate["export"]["files_missing"] == 1


def test_fail_what_is_not_met_is_named_before_anything_starts(
    client: Client, redis: Redis, tenant: Tenant
) -> None:
    do(client, redis, EXPORT, tenant)
    before = TenantTask.objects.count()
    Tenant.objects.filter(pk=tenant.pk).update(suspended_by_hand_at=None)
    page = post(client, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0)
    assert page.status_code == HTTPStatus.CONFLICT
    assert "SW_TENANT_NOT_SUSPENDED" in page.content.decode()
    Tenant.objects.filter(pk=tenant.pk).update(suspended_by_hand_at=timezone.now())
    page = post(client, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0)
    assert "less than 7 days ago" in page.content.decode()
    add_hold(operator=HOST_OPERATOR, tenant=tenant.slug, reason="case 1", now=timezone.now())
    page = post(client, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0, at_once="on")
    assert "SW_TENANT_ON_HOLD" in page.content.decode()
    assert TenantTask.objects.count() == before


def test_fail_a_plan_that_is_old_or_no_longer_true_or_a_hold(
    client: Client, redis: Redis, tenant: Tenant
) -> None:
    do(client, redis, EXPORT, tenant, freeze="on")
    plan = do(client, redis, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0)
    document: Any = plan.plan
    created_at = timezone.now() - timedelta(hours=25)
    TenantTask.objects.filter(pk=plan.pk).update(
        plan={**document, "created_at": created_at.isoformat()}
    )
    page = post(client, ERASE, plan, slug=tenant.slug)
    assert "The plan is more than 24 hours old" in page.content.decode()
    TenantTask.objects.filter(pk=plan.pk).update(plan=document)
    Room.objects.filter(tenant=tenant).order_by("pk")[:1].get().delete()
    failed = do(client, redis, ERASE, plan, slug=tenant.slug)
    assert (failed.kind, failed.state) == (TaskKind.ERASURE, TaskState.FAILED)
    assert "SW_TENANT_EXPORT_OUTDATED" in read(client, failed)
    assert list_acts(client, failed) == ["Erase for good"]
    TenantTask.objects.filter(pk=plan.pk).update(state=TaskState.RUNNING)
    assert list_acts(client, failed) == ["Erase for good"]  # It is interrupted.
    add_hold(operator=HOST_OPERATOR, tenant=tenant.slug, reason="case 1", now=timezone.now())
    held = post(client, ERASE, failed, slug=tenant.slug)
    assert "SW_TENANT_ON_HOLD" in held.content.decode()
    assert not TenantErasure.objects.exists()


def test_success_an_erasure_that_failed_is_continued(
    client: Client, redis: Redis, tenant: Tenant
) -> None:
    """A table of another program refers to the tenant."""
    do(client, redis, EXPORT, tenant, freeze="on")
    plan = do(client, redis, PLAN, tenant, not_exported=NOT_EXPORTED, missing_files=0)
    kind = Tenant._meta.pk.db_type(connection)
    execute(f"CREATE TABLE other_program (tenant_id {kind} REFERENCES sw_tenants (id))")
    execute("INSERT INTO other_program SELECT id FROM sw_tenants WHERE slug = 'acme'")
    do(client, redis, ERASE, plan, slug=tenant.slug)
    execute("DROP TABLE other_program")
    erasure = TenantErasure.objects.get()
    assert get_code(erasure) == "SW_TENANT_ROWS_LEFT"
    page = read(client, erasure)
    assert "SW_TENANT_ROWS_LEFT" in page
    assert "interrupted" in page
    assert list_acts(client, erasure) == ["Continue"]
    with process_lock(erasure.lock_name):
        assert "running" in read(client, erasure)
    assert post(client, CONTINUE, erasure).status_code == HTTPStatus.FOUND
    work(redis)
    erasure.refresh_from_db()
    assert (erasure.phase, erasure.error) == ("done", None)
    assert list_acts(client, erasure) == ["Download certificate"]


@pytest.mark.only_on("postgresql")
def test_success_a_double_click_starts_one_export(client: Client, redis: Redis) -> None:
    tenant = make_moving_tenant()
    answers = run_concurrently(*(partial(post, client, EXPORT, tenant) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [302, 409, 409, 409]
    assert TenantTask.objects.count() == len(redis.keys("rq:job:*")) == 1


def test_fail_what_no_one_has_requested(client: Client, tenant: Tenant) -> None:
    with pytest.raises(UsageError, match="No one has requested"):
        run_task(new_id())


def test_fail_a_later_schema_of_which_not_every_table_is_known(
    client: Client, redis: Redis, tenant: Tenant
) -> None:
    """The database serves this release, as after the upgrade of another host."""
    SchemaState.objects.get_or_create(number=1, defaults={"oldest_served": "0.4.0"})
    execute("INSERT INTO django_migrations VALUES (9999, 'rooms', '0099_later', '2027-01-01')")
    try:
        task = do(client, redis, EXPORT, tenant)
    finally:
        execute("DELETE FROM django_migrations WHERE name = '0099_later'")
    assert (task.state, get_code(task)) == ("failed", "SW_DATABASE_NEWER")


def test_fail_others_see_no_exports(client: Client, settings: Settings) -> None:
    """Exports and erasures are about the host: who sees only some tenants has no tab of them."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    tenant = make_moving_tenant()
    task = make_tenant_task(Tenant.objects.get(pk=tenant.pk))
    page = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    assert "Exports" in [tab.title for tab in client.get(page).context["heading"].tabs]
    own = sign_in("tenant_admin", tenant="tnt_acme")
    context = own.get(page).context
    assert "Exports" not in [tab.title for tab in context["heading"].tabs]
    assert {"Export tenant", "Plan erasure"}.isdisjoint(act.title for act in context["acts"])
    url = reverse("admin:rooms_tenanttask_change", args=[task.pk])
    assert own.get(url).status_code == HTTPStatus.FORBIDDEN
