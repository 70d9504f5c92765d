"""A restored server sends nothing to ScaiKey and runs no jobs until it is activated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from identity_sync.models import SyncRun, WebhookEvent
from identity_sync.registration.cancel import cancel_registration
from identity_sync.reports.status import sync_status
from identity_sync.sync.request import start_sync
from identity_sync.sync.variants import compute_drift
from identity_sync.webhooks.process import process_events
from identity_sync.webhooks.receive import receive_event
from identity_sync.webhooks.start import start_processing
from rooms.imports.intents import clean_up_abandoned
from rooms.models import ImportIntent
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import UpstreamError
from scaiwave.core.locks import is_file_locked
from scaiwave.core.report import Report
from scaiwave.operations.backup.activate_restore import activate_restore
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.sync import check_last_sync, check_scaikey
from scaiwave.operations.jobs.run_processes import run_scheduler, run_worker
from scaiwave.sandbox import Sandbox
from tenants.errors import ServerRestored
from tenants.models import AuditEntry, Participant, Restoration
from tenants.people.scaikey_lookup import build_tenant_lookup
from tests.identity_sync.sync.helpers import HOST, sync
from tests.identity_sync.webhooks.factories import make_body
from tests.scaiwave import row_factories
from tests.tenants.fake_scaikey import make_config

pytestmark = [pytest.mark.django_db, pytest.mark.sandbox(people=5, tenants=2, groups=1)]
NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings) -> Sandbox:
    settings.CONFIG = make_config(sandbox)
    Restoration.objects.create(backup="b", backup_at=NOW, restored_at=NOW)
    return sandbox


def drift(**options: Any) -> Any:
    return compute_drift(operator=HOST, progress_factory=null_progress_factory, **options)


ACTS: dict[str, Callable[[Any], object]] = {
    "sync": lambda config: sync(),
    "dry run": lambda config: sync(dry_run=True),
    "drift": lambda config: drift(),
    "requested sync": lambda config: start_sync(operator=HOST, tenant=None, dry_run=False, now=NOW),
    "webhooks": lambda config: process_events(operator=HOST),
    "worker": lambda config: run_worker(operator=HOST, queues=[], burst=True, grace_seconds=0),
    "scheduler": lambda config: run_scheduler(operator=HOST),
    "cancel": lambda config: cancel_registration(operator=HOST, config=config, now=NOW),
    "look-up": lambda config: build_tenant_lookup(config)("tnt-1"),
}


@pytest.mark.parametrize("name", ACTS)
def test_fail_acts(name: str, scaikey: Sandbox, settings: Settings) -> None:
    with pytest.raises(ServerRestored) as caught:
        ACTS[name](settings.CONFIG)
    assert caught.value.message == (
        "This server was restored from the backup b of 2026-11-29 09:00 UTC, and is not activated."
    )
    assert scaikey.requests.total == 0
    assert not SyncRun.objects.exists()


def test_success_status_and_doctor_report_it(scaikey: Sandbox, settings: Settings) -> None:
    status = sync_status(operator=HOST, config=settings.CONFIG, now=NOW, drift=drift)
    assert [error.code for error in status.errors] == ["SW_SERVER_RESTORED"]
    (skipped,) = check_scaikey(settings.CONFIG, NOW)
    assert skipped.state is State.SKIP
    finding = next(iter(check_last_sync(settings.CONFIG, NOW)))
    assert (finding.state, finding.code) == (State.FAIL, "SW_SERVER_RESTORED")
    assert scaikey.requests.total == 0


def test_success_webhook_is_stored_and_waits(scaikey: Sandbox) -> None:
    receive_event(make_body("user.updated", "usr-1", "evt_1"), now=timezone.now())
    start_processing()
    assert not is_file_locked("process-webhooks")
    assert WebhookEvent.objects.get().state == "pending"


def test_success_files_of_imports_are_kept(scaikey: Sandbox) -> None:
    """The live server may use the same media store."""
    ImportIntent.objects.create(
        tenant=row_factories.make_tenant("acme"), hashes=[], operator="root", started_at=NOW
    )
    assert clean_up_abandoned(NOW) == 0
    assert ImportIntent.objects.exists()


def activate(settings: Settings, **options: Any) -> tuple[Report, list[Any]]:
    shown: list[Any] = []
    defaults = {"confirm": shown.append, "show_drift": shown.append, "measures_drift": True}
    result = activate_restore(
        operator=HOST,
        config=settings.CONFIG,
        progress_factory=null_progress_factory,
        now=NOW,
        **{**defaults, **options},
    )
    return result, shown


def test_success_activation_shows_drift_first(scaikey: Sandbox, settings: Settings) -> None:
    result, (counts, question) = activate(settings)
    assert counts["participants"]["added"] == 5
    assert question.startswith("This starts syncs, webhooks and schedules of this server")
    assert result.figures["restoration"] is not None
    assert not Restoration.objects.exists()
    assert not Participant.objects.exists()
    assert AuditEntry.objects.get(action="activate-restore").subject_name == "b"
    sync()
    assert Participant.objects.exists()


def test_success_dry_run(scaikey: Sandbox, settings: Settings) -> None:
    _, shown = activate(settings, dry_run=True)
    assert len(shown) == 1
    assert Restoration.objects.exists()


def test_success_without_drift(scaikey: Sandbox, settings: Settings) -> None:
    _, (counts, _) = activate(settings, measures_drift=False)
    assert counts is None
    assert scaikey.requests.total == 0


def test_fail_declined(scaikey: Sandbox, settings: Settings) -> None:
    def decline(question: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        activate(settings, confirm=decline)
    assert Restoration.objects.exists()


def test_fail_scaikey_is_down(scaikey: Sandbox, settings: Settings) -> None:
    settings.CONFIG = make_config(scaikey, SCAIWAVE_SCAIKEY_URL="http://127.0.0.1:1")
    with pytest.raises(UpstreamError):
        activate(settings)
    assert Restoration.objects.exists()


def test_success_live_server(scaikey: Sandbox, settings: Settings) -> None:
    Restoration.objects.all().delete()
    result, shown = activate(settings)
    assert (result.document()["changed"], shown) == (False, [])
