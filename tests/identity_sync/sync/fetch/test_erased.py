"""A tenant that was erased here and that ScaiKey still has: syncs leave it out."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from identity_sync.errors import TenantErased
from identity_sync.models import Outcome
from identity_sync.sync.fetch.announced import AnnouncedRecords
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.sync import check_last_sync
from scaiwave.sandbox import Sandbox
from tenants.models import Participant, Tenant, TenantErasure
from tenants.models.erasure import hash_scaikey_id
from tests.identity_sync.sync.fetch.test_scope import use_application
from tests.identity_sync.sync.helpers import (
    dump_rows,
    get_last_run,
    list_people_of_tenant,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=4, people=80, groups=8),
]
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def erase(tenant: Tenant) -> str:
    """Leave a tombstone instead of the tenant; return the ID that ScaiKey has."""
    key = str(tenant.scaikey_tenant_id)
    TenantErasure.objects.create(
        tenant_id=tenant.pk, scaikey_hash=hash_scaikey_id(key), begun_at=NOW, finished_at=NOW
    )
    tenant.delete()
    return key


def test_success_others_are_synced(synced: Sandbox) -> None:
    key = erase(Tenant.objects.order_by("slug")[0])
    before = dump_rows()
    person = list_people_of_tenant(synced, key)[0]["id"]
    targets = AnnouncedRecords.from_pairs([("participants", person), ("tenants", key)])
    for report in (sync(), sync(announced=targets)):
        assert report.outcome == Outcome.APPLIED
        (warning,) = report.warnings
        assert warning.startswith("ScaiKey still has a tenant that was erased on 2026-11-29 ")
        assert key not in warning
    assert dump_rows() == before


def test_success_a_schedule_is_quiet_about_a_warning_of_each_run(
    synced: Sandbox, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    """Cron mails every line. The warning is in the run, and `doctor` reports it."""
    erase(Tenant.objects.order_by("slug")[0])
    call_command("sync", "--scheduled", "--quiet")
    assert capsys.readouterr().err == ""
    (warning,) = get_last_run().warnings
    found = [each for each in check_last_sync(settings.CONFIG, timezone.now()) if each.fix]
    assert [(each.state, each.message, each.fix) for each in found] == [
        (
            State.WARN,
            f"The last full sync had 1 warning. The first: {warning}",
            f"`scaiwave sync show-run {get_last_run().pk}` lists them.",
        )
    ]
    call_command("sync")
    assert f"Warning: {warning}\n" in capsys.readouterr().err


def test_success_known_by_a_certificate(synced: Sandbox) -> None:
    """A restored backup may not have the tenant, and a certificate has a salted hash."""
    key = erase(Tenant.objects.order_by("slug")[0])
    proof = {"salt": "s" * 32, "scaikey_sha256": sha256(f"{'s' * 32}:{key}".encode()).hexdigest()}
    TenantErasure.objects.update(scaikey_hash="", certificate=proof)
    assert len(sync().warnings) == 1
    assert not Tenant.objects.filter(scaikey_tenant_id=key).exists()


def test_fail_it_is_the_only_tenant(synced: Sandbox, settings: Settings) -> None:
    key = erase(Tenant.objects.order_by("slug")[0])
    use_application(synced, settings, "TENANT", key)
    with pytest.raises(TenantErased, match="was erased on 2026-11-29"):
        sync()
    assert not Tenant.objects.filter(scaikey_tenant_id=key).exists()


def test_success_linked_again(synced: Sandbox) -> None:
    key = erase(Tenant.objects.order_by("slug")[0])
    tenant = Tenant.objects.create(
        slug="again", name="Again", scaikey_tenant_id=key, created_at=NOW, updated_at=NOW
    )
    assert sync().warnings == []
    assert Participant.objects.filter(tenant=tenant).count() == len(
        list_people_of_tenant(synced, key)
    )


def test_success_while_it_is_being_erased(synced: Sandbox) -> None:
    """It has come back in ScaiKey; here it stays as it is."""
    tenant = Tenant.objects.order_by("slug")[0]
    Tenant.objects.filter(pk=tenant.pk).update(absent_since=NOW)
    Participant.objects.filter(tenant=tenant).update(absent_since=NOW)
    TenantErasure.objects.create(
        tenant_id=tenant.pk, scaikey_hash=hash_scaikey_id(str(tenant.scaikey_tenant_id)),
        begun_at=NOW,
    )  # fmt: skip
    assert any("is being erased" in warning for warning in sync().warnings)
    assert not Participant.objects.filter(tenant=tenant, absent_since=None).exists()
