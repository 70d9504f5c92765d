"""Whether syncs run and succeed: what `sync status` and `doctor` report."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from identity_sync.models import SyncSkip, WebhookEvent
from identity_sync.reasons import Reason
from identity_sync.reports import judgement
from identity_sync.reports.judgement import RunScope, judge_runs
from identity_sync.reports.status import SyncStatus, sync_status
from identity_sync.reports.webhooks import summarise_webhooks
from identity_sync.sync.lock import sync_lock
from identity_sync.sync.variants import compute_drift
from scaiwave.cli.django_entry import CommandFailed
from scaiwave.config import load
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import CredentialsIncomplete
from scaiwave.core.locks import is_locked
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.sync import check_last_sync, check_scaikey, check_scheduler
from scaiwave.operations.metrics.collectors import collect_sync_metrics
from scaiwave.operations.overview.sync import build_sync_part
from scaiwave.sandbox import Sandbox
from scaiwave.site.formatting import Tone
from tenants.errors import TenantNotFound
from tenants.models import Partner, Tenant
from tests.identity_sync.registration.helpers import HOST_OPERATOR as HOST
from tests.identity_sync.registration.helpers import NOW
from tests.identity_sync.reports.test_status import TIMES, make_config, make_run, make_tenant

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]
REGISTERED = {
    "SCAIWAVE_SCAIKEY_URL": "https://scaikey.example",
    "SCAIWAVE_SCAIKEY_CLIENT_ID": "id",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "a-secret-of-some-length",
}
FAILED = {"outcome": "failed", "error_code": "SW_X", "error_message": "why"}


def get_codes(scope: RunScope | None = None, **settings: str) -> list[str]:
    """Return the codes of the problems, which are also those of `doctor`."""
    config = load({**REGISTERED, **settings})
    codes = [
        problem.code
        for problem in judge_runs(scope or RunScope(HOST), config=config, now=NOW).problems
    ]
    if scope is None:
        findings = [finding.code for finding in check_last_sync(config, NOW)]
        assert [code for code in findings if code] == codes
    return codes


def make_skip(**fields: Any) -> SyncSkip:
    values = {
        "kind": "participants",
        "subject_scaikey_id": "usr_1",
        "subject_name": "Anna",
        "reason_code": "unusable",
        "detail": "no e-mail",
        "runs": 2,
        "first_skipped_at": NOW,
        "last_skipped_at": NOW,
    }
    return SyncSkip.objects.create(**{**values, **fields})


def get_status(home: Path, sandbox: Sandbox, **options: Any) -> SyncStatus:
    options = {"operator": HOST, "now": NOW, "drift": None, **options}
    return sync_status(config=make_config(home, sandbox), **options)


def test_success_healthy() -> None:
    make_run()
    assert get_codes() == []


@pytest.mark.parametrize(
    ("minutes", "interval", "codes"),
    [
        (19, "10", []),
        (21, "10", ["SW_SYNC_OVERDUE"]),
        (21, "15", []),
        (119, "60", []),
        (121, "60", ["SW_SYNC_OVERDUE"]),
    ],
)
def test_fail_overdue_after_two_intervals(minutes: int, interval: str, codes: list[str]) -> None:
    make_run(started_at=NOW - timedelta(minutes=minutes))
    assert get_codes(SCAIWAVE_SYNC_INTERVAL_MINUTES=interval) == codes


@pytest.mark.parametrize(
    "fields", [{"outcome": "planned"}, {"trigger": "webhook"}, {"outcome": "refused"}]
)
def test_fail_overdue_without_a_good_full_sync(fields: dict[str, Any]) -> None:
    make_run(**fields)
    assert get_codes() == ["SW_SYNC_OVERDUE"]


def test_fail_the_last_two_runs_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(started_at=NOW - timedelta(minutes=15))
    make_run(started_at=NOW - timedelta(minutes=9), **FAILED)
    assert get_codes() == []
    for code, outcome in (("SW_INTERRUPTED", "failed"), ("SW_SYNC_PLAN_CHANGED", "refused")):
        stopped = {**FAILED, "outcome": outcome, "error_code": code}
        make_run(started_at=NOW - timedelta(minutes=8), **stopped)
    assert get_codes() == []
    make_run(started_at=NOW - timedelta(minutes=8), outcome="planned")
    make_run(started_at=NOW - timedelta(minutes=7), tenant=make_tenant("acme", "tnt_1"))
    make_run(started_at=NOW - timedelta(minutes=5), **{**FAILED, "outcome": "refused"})
    assert get_codes() == ["SW_SYNC_FAILING"]
    make_run(started_at=NOW - timedelta(minutes=4), **{**FAILED, "error_code": "SW_Y"})
    (failing,) = judge_runs(RunScope(HOST), config=load(REGISTERED), now=NOW).problems
    assert failing.message == "The last 3 full syncs failed: SW_Y, SW_X."
    monkeypatch.setattr(judgement, "MAX_COUNTED_FAILURES", 2)
    (failing,) = judge_runs(RunScope(HOST), config=load(REGISTERED), now=NOW).problems
    assert failing.message == "At least the last 2 full syncs failed: SW_Y, SW_X."
    make_run(started_at=NOW - timedelta(minutes=1))
    assert get_codes() == []


@pytest.mark.parametrize("is_failing", [True, False])
def test_fail_all_reports_agree(
    home: Path, sandbox: Sandbox, settings: Settings, is_failing: bool
) -> None:
    """Status, doctor, metrics and the overview of the admin site."""
    settings.CONFIG = config = make_config(home, sandbox)
    make_run(started_at=NOW - timedelta(minutes=15), trigger="cron")
    for minutes in (9, 5):
        make_run(
            started_at=NOW - timedelta(minutes=minutes),
            trigger="cron",
            **(FAILED if is_failing else {}),
        )
    codes = ["SW_SYNC_FAILING"] if is_failing else []
    assert [error.code for error in get_status(home, sandbox).errors] == codes
    findings = [*check_last_sync(config, NOW), *check_scheduler(config, NOW)]
    failed = [finding for finding in findings if finding.state is State.FAIL]
    assert [(finding.code, finding.exit_code) for finding in failed] == [
        (code, 1) for code in codes
    ]
    metrics = {metric.name: metric.samples for metric in collect_sync_metrics(NOW)}
    assert metrics["sync_healthy"] == [({}, int(not codes))]
    assert metrics["sync_problem"] == [({"code": code}, 1) for code in codes]
    card = build_sync_part(NOW).health[0]
    assert card.tone is (Tone.BAD if is_failing else Tone.GOOD)


def test_fail_no_secret(home: Path, sandbox: Sandbox, settings: Settings) -> None:
    """The server is registered: what is missing has a name, and syncs are expected."""
    settings.CONFIG = config = make_config(home, sandbox, SCAIWAVE_SCAIKEY_CLIENT_SECRET="")
    message = "SCAIWAVE_SCAIKEY_CLIENT_SECRET is not set."
    status = sync_status(operator=HOST, config=config, now=NOW, drift=None)
    assert [error.code for error in status.errors] == [
        "SW_SYNC_CREDENTIALS_INCOMPLETE",
        "SW_SYNC_OVERDUE",
    ]
    assert status.errors[0].message == message
    (finding,) = check_scaikey(config, NOW)
    assert (finding.message, finding.exit_code) == (message, 2)
    assert [each.code for each in check_last_sync(config, NOW)] == ["SW_SYNC_OVERDUE"]
    with pytest.raises(CredentialsIncomplete) as caught:
        compute_drift(operator=HOST, progress_factory=null_progress_factory)
    assert caught.value.message == message
    metrics = {metric.name: metric.samples for metric in collect_sync_metrics(NOW)}
    assert ({"code": "SW_SYNC_CREDENTIALS_INCOMPLETE"}, 1) in metrics["sync_problem"]
    part = build_sync_part(NOW)
    assert part.tasks[0].text == message
    registration = next(card for card in part.health if card.title == "Registration with ScaiKey")
    assert registration.value == "credentials incomplete"


def test_success_not_registered_is_reported_once(settings: Settings) -> None:
    settings.CONFIG = config = load({})
    findings = [*check_last_sync(config, NOW), *check_scheduler(config, NOW)]
    assert [(finding.check, finding.state) for finding in findings] == [
        ("sync", State.SKIP),
        ("scheduler", State.SKIP),
    ]


def test_fail_a_killed_run_is_noticed_at_once(home: Path, sandbox: Sandbox) -> None:
    make_run(started_at=NOW - timedelta(minutes=15))
    make_run(started_at=NOW - timedelta(minutes=9), **FAILED)
    killed = make_run(started_at=NOW - timedelta(minutes=2), outcome="running", ended_at=None)
    with sync_lock():
        status = get_status(home, sandbox)
        assert get_codes() == []
    assert (status.running or {})["run_id"] == killed.pk
    assert status.interrupted is None
    assert str(killed.pk) not in str(status.warnings)
    status = get_status(home, sandbox)
    assert status.running is None
    assert (status.interrupted or {})["run_id"] == killed.pk
    assert status.warnings[0] == (
        f"The sync that began 2 minutes ago stopped without a result (run {killed.pk}). The next "
        "sync records it as failed."
    )
    assert get_codes() == ["SW_SYNC_FAILING"]


def test_success_a_webhook_run_is_in_progress(home: Path, sandbox: Sandbox) -> None:
    make_run()
    make_run(started_at=NOW, outcome="running", ended_at=None, trigger="webhook")
    with sync_lock():
        status = get_status(home, sandbox)
    assert (status.running or {})["trigger"] == "webhook"
    assert status.problem is None


def test_success_the_lock_is_not_taken_by_looking() -> None:
    assert is_locked("sync") is False
    with sync_lock():
        assert is_locked("sync") is True
        assert is_locked("other") is False
    assert is_locked("sync") is False


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({}, ["SW_SYNC_SKIPS_REPEATED"]),
        ({"runs": 1}, []),
        ({"reason_code": Reason.OFF_FOR_RUN, "runs": 9}, []),
        ({"reason_code": Reason.OFF_FOR_TENANT, "runs": 9}, []),
    ],
)
def test_fail_the_same_row_was_skipped_twice(fields: dict[str, Any], codes: list[str]) -> None:
    make_run()
    make_skip(**fields)
    assert get_codes() == codes


def test_fail_a_run_of_the_future_does_not_count(home: Path, sandbox: Sandbox) -> None:
    make_run(started_at=NOW - timedelta(hours=1))
    future = make_run(started_at=NOW + timedelta(days=1))
    status = get_status(home, sandbox)
    assert status.last_success_age_seconds == 3600 - 4
    assert [problem.code for problem in status.errors] == ["SW_SYNC_OVERDUE"]
    assert status.warnings[0].startswith(
        f"Run {future.pk} is dated in the future (2026-03-02 12:00:04 UTC)"
    )
    assert [row.message for row in check_last_sync(load(REGISTERED), NOW)][1] == status.warnings[0]


def test_fail_all_runs_are_of_the_future() -> None:
    make_run(started_at=NOW + timedelta(days=1))
    (problem,) = judge_runs(RunScope(HOST), config=load({}), now=NOW).problems
    assert problem.message == (
        "No full sync is known to have succeeded: the last runs are dated in the future."
    )
    assert problem.fix == "Check the clocks of the hosts, then run `scaiwave sync`."


def test_fail_removals_postponed_since_the_future() -> None:
    make_run()
    fields = {"is_postponed": True, "runs": 1, "reason_code": "", "detail": "not found"}
    skip = make_skip(**fields, first_skipped_at=NOW + timedelta(days=900))
    (problem,) = judge_runs(RunScope(HOST), config=load({}), now=NOW).problems
    assert problem.code == "SW_SYNC_POSTPONED"
    assert problem.message == (
        "1 removal has been postponed since a time in the future. "
        "The oldest concerns the participant Anna (usr_1): not found."
    )
    skip.first_skipped_at = NOW + timedelta(seconds=60)
    skip.save()
    assert get_codes() == []


def test_fail_metrics_leave_out_runs_of_the_future() -> None:
    past = make_run()
    ahead = NOW + timedelta(days=1)
    make_run(started_at=ahead, ended_at=ahead)
    metrics = {metric.name: metric.samples for metric in collect_sync_metrics(NOW)}
    assert past.ended_at is not None
    assert metrics["sync_last_success_timestamp_seconds"] == [({}, past.ended_at.timestamp())]
    assert metrics["sync_runs_from_future"] == [({}, 1)]


def test_fail_a_webhook_of_the_future_waits() -> None:
    event = {"event_id": "evt_1", "event_type": "user.updated", "kind": "participants"}
    WebhookEvent.objects.create(**event, received_at=NOW + timedelta(days=1))
    assert summarise_webhooks(load({}), NOW)["lag_seconds"] == 24 * 3600
    assert "webhooks" in {finding.check for finding in check_last_sync(load(REGISTERED), NOW)}


def test_success_a_clock_a_little_ahead() -> None:
    make_run(started_at=NOW + timedelta(seconds=30))
    assert get_codes() == []


@pytest.fixture
def tenants() -> tuple[Tenant, Tenant]:
    north = Partner.objects.create(slug="north", name="North", scaikey_id="prt_1", **TIMES)
    return make_tenant("acme", "tnt_1", north), make_tenant("other", "tnt_2")


def test_success_restricted_to_a_tenant(
    home: Path, sandbox: Sandbox, tenants: tuple[Tenant, Tenant]
) -> None:
    acme, other = tenants
    make_run(tenant=acme, requests=1)
    make_run(tenant=other, requests=2)
    make_skip(tenant=other)
    status = get_status(home, sandbox, tenant="acme")
    assert status.problem is None
    assert [run["tenant"] for run in status.runs] == ["acme"]
    assert status.skipped is not None
    assert status.skipped["count"] == 0
    assert status.webhooks is None
    assert get_codes(RunScope(HOST, tenant=other)) == ["SW_SYNC_SKIPS_REPEATED"]


def test_success_restricted_to_a_partner(
    home: Path, sandbox: Sandbox, tenants: tuple[Tenant, Tenant]
) -> None:
    acme, other = tenants
    make_run(requests=1)
    make_run(tenant=acme, requests=2)
    make_run(tenant=other, requests=3)
    make_skip(tenant=other)

    status = get_status(home, sandbox, partner="north", drift=lambda: pytest.fail("whose?"))

    assert {run["requests"] for run in status.runs} == {1, 2}
    assert status.problem is None
    assert status.drift_reason == "only of everything, or with --tenant"


def test_fail_a_tenant_outside_of_the_scope(
    home: Path, sandbox: Sandbox, tenants: tuple[Tenant, Tenant]
) -> None:
    operator = Operator("bert", OperatorRole.TENANT_ADMIN, tenant_id="tnt_1")
    with pytest.raises(TenantNotFound):
        get_status(home, sandbox, operator=operator, tenant="other")


def test_success_who_starts_syncs(home: Path, sandbox: Sandbox) -> None:
    status = get_status(home, sandbox)
    assert (status.schedule["last_cron_at"], status.next_run_at) == (None, None)
    make_run(trigger="cron")
    make_run(started_at=NOW - timedelta(minutes=1))
    status = get_status(home, sandbox)
    assert status.schedule["last_cron_age_seconds"] == 540
    assert status.schedule["last_manual_age_seconds"] == 60
    assert status.next_run_at == NOW + timedelta(minutes=3)


@pytest.mark.django_db(transaction=True)
def test_fail_exit_zero_reports_the_same(home: Path, sandbox: Sandbox, settings: Any) -> None:
    settings.CONFIG = make_config(home, sandbox)
    make_run(started_at=timezone.now() - timedelta(hours=2))
    outputs = [StringIO(), StringIO()]
    with pytest.raises(CommandFailed) as caught:
        call_command("sync_status", "--no-drift", stdout=outputs[0], stderr=StringIO())
    error = StringIO()
    call_command("sync_status", "--no-drift", "--exit-zero", stdout=outputs[1], stderr=error)
    assert caught.value.error.exit_code == 1
    health = outputs[0].getvalue().splitlines()[0]
    assert re.fullmatch(r"Health            [A-Z].*\. \[SW_SYNC_OVERDUE\]", health)
    assert "Drift now         not measured: --no-drift\n" in outputs[0].getvalue()
    assert outputs[0].getvalue() == outputs[1].getvalue()
    assert "\nError: The last successful full sync was 1 hour, 59 minutes" in error.getvalue()


@pytest.mark.django_db(transaction=True)
def test_success_drift_is_not_measured_during_a_sync(
    home: Path, sandbox: Sandbox, settings: Any
) -> None:
    settings.CONFIG = make_config(home, sandbox)
    make_run(started_at=timezone.now())
    make_run(started_at=timezone.now(), outcome="running", ended_at=None)
    out = StringIO()
    with sync_lock():
        call_command("sync_status", stdout=out, stderr=StringIO())
    assert "Drift now         not measured: a sync is running\n" in out.getvalue()
    assert sandbox.requests.count("/api/v1/admin/*") == 0
