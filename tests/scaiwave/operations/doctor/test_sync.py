from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from identity_sync.models import SyncSkip
from identity_sync.sync.lock import sync_lock
from scaiwave.config import load
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.sync import check_last_sync, check_scaikey
from scaiwave.sandbox import Sandbox
from tests.identity_sync.registration.helpers import NOW
from tests.identity_sync.reports.test_judgement import REGISTERED
from tests.identity_sync.reports.test_status import make_config, make_event, make_run, make_tenant
from tests.scaiwave import row_factories

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


@pytest.mark.sandbox(partners=1, tenants=1, people=1, groups=0)
def test_success_credentials_and_clock(home: Path, sandbox: Sandbox) -> None:
    findings = list(check_scaikey(make_config(home, sandbox), NOW))
    assert [(finding.check, finding.state) for finding in findings] == [
        ("scaikey", State.PASS),
        ("clock", State.PASS),
    ]


@pytest.mark.sandbox(partners=1, tenants=1, people=1, groups=0)
def test_fail_credentials_refused(home: Path, sandbox: Sandbox) -> None:
    config = make_config(home, sandbox, SCAIWAVE_SCAIKEY_CLIENT_SECRET="not-the-secret-at-all")
    first, _ = check_scaikey(config, NOW)
    assert (first.state, first.exit_code) == (State.FAIL, 3)


@pytest.mark.sandbox(partners=1, tenants=1, people=1, groups=0, clock_offset=90.0)
def test_fail_clocks_are_far_apart(home: Path, sandbox: Sandbox) -> None:
    clock = list(check_scaikey(make_config(home, sandbox), NOW))[1]
    assert (clock.state, clock.code, clock.exit_code) == (State.FAIL, "SW_CLOCK_WRONG", 2)
    assert "s ahead of this server's." in clock.message


@pytest.mark.sandbox(partners=1, tenants=1, people=1, groups=0, clock_offset=-20.0)
def test_success_clocks_slightly_apart_are_a_warning(home: Path, sandbox: Sandbox) -> None:
    clock = list(check_scaikey(make_config(home, sandbox), NOW))[1]
    assert clock.state is State.WARN
    assert "s behind this server's." in clock.message


def test_fail_scaikey_is_down(home: Path) -> None:
    config = load(
        {
            "SCAIWAVE_HOME": str(home),
            "SCAIWAVE_SCAIKEY_URL": "http://127.0.0.1:1",
            "SCAIWAVE_SCAIKEY_CLIENT_ID": "id",
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "a-secret-of-some-length",
        }
    )
    first, clock = check_scaikey(config, NOW)
    assert (first.state, first.code) == (State.FAIL, "SW_UPSTREAM_UNREACHABLE")
    assert clock.state is State.SKIP


def test_fail_not_registered(home: Path) -> None:
    (finding,) = check_scaikey(load({"SCAIWAVE_HOME": str(home)}), NOW)
    assert (finding.state, finding.code) == (State.FAIL, "SW_SYNC_NOT_REGISTERED")


def test_success_a_recent_sync(home: Path) -> None:
    make_run()
    (finding,) = check_last_sync(load(REGISTERED), NOW)
    assert (finding.state, finding.message) == (
        State.PASS,
        "The last full sync was 8 minutes ago.",
    )
    (finding,) = check_last_sync(load(REGISTERED), NOW - timedelta(minutes=8, seconds=20))
    assert finding.message == "The last full sync was less than a minute ago."


def test_fail_removals_wait_and_the_last_run_skipped_them() -> None:
    tenant = make_tenant("acme", "x")
    row_factories.make_pending_removal(tenant, 1)
    error = {"error_code": "SW_SYNC_PARTIAL", "error_message": "1 waits.", "error_fix": "Decide."}
    make_run(outcome="partial", **error)
    times = {"first_skipped_at": NOW, "last_skipped_at": NOW}
    skip = SyncSkip.objects.create(
        kind="participants", subject_scaikey_id="usr_1", reason_code="pending", **times
    )
    pending, age = check_last_sync(load(REGISTERED), NOW)
    assert (pending.code, age.state) == ("SW_SYNC_REMOVALS_PENDING", State.PASS)
    skip.reason_code = "slug_in_use"
    skip.save()
    *_, last = check_last_sync(load(REGISTERED), NOW)
    assert (last.state, last.fix) == (State.WARN, "Decide.")


@pytest.mark.parametrize(
    ("seconds", "setting", "schedule"),
    [
        (370, "540", None),
        (390, "540", "a scheduled one has 540 s"),
        (80, "100", "a scheduled one has 100 s"),
        (410, "0", None),
        (430, "0", "one is due every 600 s"),
        (430, "3600", "one is due every 600 s"),
    ],
)
def test_success_a_tight_schedule_is_a_warning(
    seconds: float, setting: str, schedule: str | None
) -> None:
    make_run(duration_seconds=seconds)
    config = load({**REGISTERED, "SCAIWAVE_SYNC_TIMEOUT_SECONDS": setting})
    findings = list(check_last_sync(config, NOW))
    assert [finding.state for finding in findings] == (
        [State.PASS, State.WARN] if schedule else [State.PASS]
    )
    if schedule:
        assert findings[-1].message == (
            f"The schedule is tight: the last full sync took {seconds} s, and {schedule}."
        )


def test_fail_no_sync_yet() -> None:
    # A run for a single tenant does not count, nor does one in progress.
    make_run(tenant=make_tenant("acme", "x"))
    make_run(outcome="running", ended_at=None)
    with sync_lock():
        (finding,) = check_last_sync(load(REGISTERED), NOW)
    assert (finding.state, finding.fix) == (State.FAIL, "Run `scaiwave sync`.")


def test_fail_an_old_sync_and_a_failed_one() -> None:
    make_run(started_at=NOW - timedelta(hours=3))
    make_run(outcome="failed", error_code="SW_SYNC_REMOVAL_LIMIT", error_message="Too many losses.")
    old, failed = check_last_sync(load(REGISTERED), NOW)
    assert (old.state, failed.state) == (State.FAIL, State.WARN)
    assert old.message == "The last successful full sync was 2 hours, 59 minutes ago."
    assert (
        failed.message == "The latest full sync ended with SW_SYNC_REMOVAL_LIMIT: Too many losses."
    )


def test_success_webhooks_are_not_mentioned_while_they_are_handled() -> None:
    make_run(ended_at=NOW)
    make_event(received_at=NOW - timedelta(seconds=60))
    make_event(state="handled", ended_at=NOW)
    assert [finding.check for finding in check_last_sync(load(REGISTERED), NOW)] == ["sync"]


def test_fail_waiting_or_failed_webhooks() -> None:
    make_run(ended_at=NOW)
    make_event(received_at=NOW - timedelta(seconds=61))
    make_event(state="failed", ended_at=NOW, error_code="SW_X", error_message="why")
    _, waiting, failed = check_last_sync(load(REGISTERED), NOW)
    assert (waiting.state, waiting.message) == (
        State.WARN,
        "Waiting webhooks: 1, the oldest for 61 s.",
    )
    assert (failed.state, failed.message) == (
        State.WARN,
        "Webhooks left to the next full sync: 1, the latest with SW_X: why",
    )
