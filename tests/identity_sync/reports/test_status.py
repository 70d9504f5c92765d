from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from identity_sync.management.output import format_age, format_webhooks, list_changes
from identity_sync.management.status_output import status_facts
from identity_sync.models import Registration, SyncRun, SyncSkip, WebhookEvent
from identity_sync.reports.schedule import get_next_scheduled
from identity_sync.reports.status import sync_status
from identity_sync.sync.lock import sync_lock
from scaiwave.cli.django_entry import CommandFailed
from scaiwave.config import Configuration, load
from scaiwave.core.errors import (
    InsufficientPermission,
    NotRegistered,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tenants.models import Partner, Tenant
from tests.identity_sync.registration.helpers import HOST_OPERATOR as HOST
from tests.identity_sync.registration.helpers import NOW
from tests.tenants.factories import run_command
from tests.tenants.fake_scaikey import get_credentials

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]
TIMES = {"created_at": NOW, "updated_at": NOW}
COUNTS = {"participants": {"seen": 5, "added": 2, "updated": 1, "deactivated": 1}}


def make_config(home: Path, sandbox: Sandbox, **changes: str) -> Configuration:
    values = {
        "SCAIWAVE_HOME": str(home),
        **get_credentials(sandbox),
    }
    return load({**values, **changes})


def make_run(**fields: Any) -> SyncRun:
    started = fields.pop("started_at", NOW - timedelta(minutes=9))
    values = {
        "operator": "ops",
        "outcome": "applied",
        "counts": COUNTS,
        "started_at": started,
        "ended_at": started + timedelta(seconds=4),
    }
    return SyncRun.objects.create(**{**values, **fields})


def make_tenant(slug: str, scaikey_id: str, partner: Partner | None = None) -> Tenant:
    return Tenant.objects.create(
        slug=slug, name=slug, scaikey_tenant_id=scaikey_id, partner=partner, **TIMES
    )


@given(st.datetimes(timezones=st.just(UTC), max_value=datetime(9000, 1, 1)))  # noqa: DTZ001
def test_success_next_run_avoids_multiples_of_ten_minutes(now: datetime) -> None:
    next_run = get_next_scheduled(now)
    assert next_run.minute % 10 == 3
    assert (next_run.second, next_run.microsecond) == (0, 0)
    assert timedelta(0) < next_run - now <= timedelta(minutes=10)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (200000, "2 d ago"),
    ],
)
def test_success_ages(seconds: int | None, text: str) -> None:
    assert format_age(seconds) == text


def test_success_changes_in_words() -> None:
    assert list_changes(COUNTS) == "2 added, 1 updated, 1 deactivated"
    assert list_changes({"groups": {"seen": 3}}) == ""


def test_success_registered(home: Path, sandbox: Sandbox) -> None:
    for age in range(7):
        make_run(started_at=NOW - timedelta(minutes=10 * age + 9), requests=age)
    make_run(outcome="running", started_at=NOW - timedelta(seconds=5), ended_at=None, counts={})
    with sync_lock():
        status = sync_status(operator=HOST, config=make_config(home, sandbox), now=NOW, drift=None)
    assert status.problem is None
    assert status.interrupted is None
    assert status.credentials == {"accepted": True, "token_scope": "GLOBAL", "error": None}
    assert [run["requests"] for run in status.runs] == [0, 1, 2, 3, 4]
    assert status.runs[0]["age_seconds"] == 9 * 60 - 4
    assert status.running is not None
    assert status.running["age_seconds"] == 5
    assert status.last_success_at == NOW - timedelta(minutes=9) + timedelta(seconds=4)
    assert status.next_run_at is None
    assert sandbox.client_secret not in str(status.document())


def test_success_old_held_counts_are_read_as_skipped(home: Path, sandbox: Sandbox) -> None:
    make_run(counts={"groups": {"seen": 5, "held": 2}})
    status = sync_status(operator=HOST, config=make_config(home, sandbox), now=NOW, drift=None)
    assert status.runs[0]["kinds"] == {"groups": {"seen": 5, "skipped": 2}}
    assert list_changes(status.runs[0]["kinds"]) == "2 skipped"


def test_success_dry_runs_and_runs_of_one_tenant_or_webhooks_do_not_count_as_success(
    home: Path, sandbox: Sandbox
) -> None:
    make_run(outcome="planned")
    make_run(outcome="failed", error_code="SW_X", error_message="why")
    make_run(tenant=make_tenant("acme", "tnt_1"))
    make_run(started_at=NOW - timedelta(minutes=1), requests=2, trigger="webhook")
    status = sync_status(operator=HOST, config=make_config(home, sandbox), now=NOW, drift=None)
    assert status.last_success_at is None
    assert 2 not in [run["requests"] for run in status.runs]


def make_event(**fields: Any) -> WebhookEvent:
    number = WebhookEvent.objects.count()
    values = {"event_id": f"evt_{number}", "event_type": "user.updated", "received_at": NOW}
    return WebhookEvent.objects.create(**{**values, **fields})


def test_success_webhooks(home: Path, sandbox: Sandbox) -> None:
    config = make_config(home, sandbox, SCAIWAVE_SCAIKEY_WEBHOOK_SECRET="whsec-hidden")
    status = sync_status(operator=HOST, config=config, now=NOW, drift=None)
    assert status.webhooks == {
        "configured": True,
        "last_delivery_at": None,
        "last_delivery_age_seconds": None,
        "waiting": 0,
        "lag_seconds": 0,
        "last_handled_seconds": None,
        "failed": 0,
        "last_failure": None,
    }
    assert format_webhooks(status.webhooks) == "no delivery yet"
    early, late = NOW - timedelta(seconds=90), NOW - timedelta(seconds=30)
    make_event(state="handled", received_at=early, ended_at=early + timedelta(seconds=1.25))
    failure = {"state": "failed", "ended_at": NOW, "error_code": "SW_X", "error_message": "why"}
    make_event(received_at=early, **failure)
    status = sync_status(operator=HOST, config=config, now=NOW, drift=None)
    assert format_webhooks(status.webhooks) == (
        "last delivery 1 min ago; handled in 1.2 s; 1 failed (SW_X), left to the next full sync"
    )
    make_event(received_at=late)
    status = sync_status(operator=HOST, config=config, now=NOW, drift=None)
    assert status.webhooks is not None
    assert (status.webhooks["waiting"], status.webhooks["lag_seconds"]) == (1, 30)
    assert status.webhooks["last_delivery_at"] == late
    assert status.webhooks["last_failure"] == {
        "event_id": "evt_1",
        "event_type": "user.updated",
        "failed_at": NOW,
        "error": {"code": "SW_X", "message": "why"},
    }
    assert "1 waiting for 30 s" in str(format_webhooks(status.webhooks))
    assert "whsec-hidden" not in str(status.document())


def test_success_webhooks_are_not_configured(home: Path, sandbox: Sandbox) -> None:
    status = sync_status(operator=HOST, config=make_config(home, sandbox), now=NOW, drift=None)
    assert format_webhooks(status.webhooks) == "not configured"
    make_event(state="handled", ended_at=NOW)
    status = sync_status(operator=HOST, config=make_config(home, sandbox), now=NOW, drift=None)
    text = "no longer configured; last delivery 0 s ago; handled in 0.0 s"
    assert format_webhooks(status.webhooks) == text
    make_tenant("acme", "tnt_1")
    operator = Operator("t", OperatorRole.TENANT_ADMIN, tenant_id="tnt_1")
    status = sync_status(operator=operator, config=make_config(home, sandbox), now=NOW, drift=None)
    assert status.webhooks is None


def test_fail_not_registered(home: Path) -> None:
    status = sync_status(
        operator=HOST, config=load({"SCAIWAVE_HOME": str(home)}), now=NOW, drift=None
    )
    assert isinstance(status.problem, NotRegistered)
    assert status.problem.exit_code == 2
    assert status.problem.fix.startswith("Run `scaiwave sync register`. If this server was ")


def test_fail_not_approved_yet(home: Path, sandbox: Sandbox) -> None:
    Registration.objects.create(
        scaikey_url=sandbox.url, request_id="req_1", name="chat", scope="GLOBAL", requested_at=NOW
    )
    status = sync_status(
        operator=HOST, config=load({"SCAIWAVE_HOME": str(home)}), now=NOW, drift=None
    )
    assert status.registration["state"] == "PENDING"
    assert status.problem is not None
    assert status.problem.message == (
        "This server is not registered yet: waiting for approval of request req_1."
    )
    assert status.problem.fix == (
        "Approve request req_1 in ScaiKey, then run `scaiwave sync register`."
    )


def test_fail_credentials_refused(home: Path, sandbox: Sandbox) -> None:
    config = make_config(home, sandbox, SCAIWAVE_SCAIKEY_CLIENT_SECRET="wrong")
    status = sync_status(operator=HOST, config=config, now=NOW, drift=None)
    assert isinstance(status.problem, UpstreamUnauthorized)
    assert status.problem.exit_code == 3
    assert status.credentials["accepted"] is False


def test_fail_scaikey_is_down(home: Path, sandbox: Sandbox) -> None:
    config = make_config(home, sandbox)
    sandbox.stop()
    status = sync_status(operator=HOST, config=config, now=NOW, drift=None)
    assert isinstance(status.problem, UpstreamUnreachable)
    assert status.problem.exit_code == 2


@pytest.mark.parametrize(
    "operator",
    [
        Operator("anna", OperatorRole.PARTNER_ADMIN, partner_id="prt_1"),
        Operator("bert", OperatorRole.TENANT_ADMIN, tenant_id="tnt_1"),
    ],
)
def test_success_administrators_see_their_own_skips(
    home: Path, sandbox: Sandbox, operator: Operator
) -> None:
    partner = Partner.objects.create(slug="north", name="North", scaikey_id="prt_1", **TIMES)
    make_run(tenant=make_tenant("acme", "tnt_1", partner))
    make_run(tenant=make_tenant("other", "tnt_2"))
    make_run(outcome="failed", error_code="SW_X", error_message="about the whole platform")

    def drift() -> Any:
        raise InsufficientPermission("anna may not sync everything.")

    status = sync_status(operator=operator, config=make_config(home, sandbox), now=NOW, drift=drift)
    visible = {(run["tenant"], run["kinds"] is None) for run in status.runs}
    assert visible == {("acme", False), (None, True)}
    assert "about the whole platform" not in str(status.document())
    assert set(status.registration) == {"state", "url"}
    assert (status.drift, status.drift_reason) == (None, "anna may not sync everything.")
    assert "SW_UPSTREAM" not in str(status.document())


@pytest.mark.django_db(transaction=True)
def test_success_command_measures_drift(home: Path, sandbox: Sandbox, settings: Any) -> None:
    settings.CONFIG = make_config(home, sandbox)
    document = json.loads(run_command("sync_status", "--json", "--exit-zero"))
    assert document["drift"]["tenants"]["added"] == 3
    assert document["drift"]["participants"]["added"] == 10
    assert not Tenant.objects.exists()
    assert not SyncRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_success_command_text(home: Path, sandbox: Sandbox, settings: Any) -> None:
    settings.CONFIG = make_config(home, sandbox)
    make_run(started_at=datetime.now(UTC) - timedelta(minutes=2, seconds=30))
    text = run_command("sync_status")
    assert f"ScaiKey           {sandbox.url}\n" in text
    assert "Last success      2 min ago\n" in text
    assert "2 added, 1 updated, 1 deactivated" in text
    assert "\n  participants    10 added\n" in text


@pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2)
@pytest.mark.django_db(transaction=True)
def test_fail_drift_can_not_be_measured(home: Path, sandbox: Sandbox, settings: Any) -> None:
    """The rest of the answer is printed all the same."""
    settings.CONFIG = make_config(home, sandbox)
    sandbox.faults.add("status", path="/api/v1/admin/tenants/", status=403)
    out = StringIO()
    with pytest.raises(CommandFailed) as caught:
        call_command("sync_status", stdout=out, stderr=StringIO())
    assert caught.value.error.code == "SW_UPSTREAM_FORBIDDEN"
    assert "Drift now         not measured: SW_UPSTREAM_FORBIDDEN\n" in out.getvalue()
    assert out.getvalue().count(caught.value.error.message) == 1


def test_fail_the_reason_is_printed_once(home: Path, sandbox: Sandbox, settings: Any) -> None:
    settings.CONFIG = make_config(home, sandbox, SCAIWAVE_SCAIKEY_URL="http://127.0.0.1:1")
    out = StringIO()
    with pytest.raises(CommandFailed) as caught:
        call_command("sync_status", stdout=out, stderr=StringIO())
    assert out.getvalue().count(caught.value.error.message) == 1
    assert "Credentials       no: SW_UPSTREAM_UNREACHABLE\n" in out.getvalue()
    assert "Drift now         not measured: SW_UPSTREAM_UNREACHABLE\n" in out.getvalue()


def test_success_command_no_drift(home: Path, sandbox: Sandbox, settings: Any) -> None:
    settings.CONFIG = make_config(home, sandbox)
    make_run(started_at=datetime.now(UTC))
    run_command("sync_status", "--no-drift")
    assert sandbox.requests.count("/api/v1/admin/*") == 0


@pytest.mark.parametrize(("hours", "is_late"), [(23, False), (24, True)])
def test_fail_postponed_for_a_day(home: Path, sandbox: Sandbox, hours: int, is_late: bool) -> None:
    skip = {"kind": "participants", "is_postponed": True}
    skip |= {"reason_code": "lookup_failed", "detail": "it is not JSON"}
    first = NOW - timedelta(hours=hours)
    make_run()
    SyncSkip.objects.create(
        subject_scaikey_id="usr_1",
        subject_name="Anna",
        first_skipped_at=first,
        last_skipped_at=NOW,
        **skip,
    )
    status = sync_status(operator=HOST, config=make_config(home, sandbox), now=NOW, drift=None)
    assert status.skipped is not None
    assert status.skipped == {
        "count": 1,
        "postponed": 1,
        "oldest_at": first,
        "oldest": "participants usr_1",
    }
    assert status_facts(status)["skipped"] == "1 row, including 1 postponed removal"
    status.skipped = {**status.skipped, "count": 126, "postponed": 0}
    assert status_facts(status)["skipped"] == "126 rows"
    status.pending_removals = {"pending": 28}
    assert status_facts(status)["skipped"] == "126 rows, including pending removals"
    if not is_late:
        assert status.problem is None
        return
    assert status.problem is not None
    assert status.problem.message == (
        "1 removal has been postponed for more than 24 hours. The oldest concerns the participant "
        "Anna (usr_1): it is not JSON."
    )
    assert (status.problem.code, status.problem.exit_code) == ("SW_SYNC_POSTPONED", 1)
