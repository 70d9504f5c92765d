"""The limit of scheduled syncs follows what the last complete one needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from identity_sync import jobs
from identity_sync.errors import SyncTimedOut
from identity_sync.models import Outcome, SyncRun, Trigger
from identity_sync.sync import time_limit
from identity_sync.sync.time_limit import get_time_limit
from scaiwave.config import load
from scaiwave.queue.definitions import MAX_SYNC_SECONDS
from scaiwave.queue.jobs import JOBS
from scaiwave.sandbox import Sandbox
from tenants.models import Tenant
from tests.tenants.fake_scaikey import make_config

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 11, 29, 3, 3, tzinfo=UTC)
TIMED_OUT = {"outcome": Outcome.FAILED, "error_code": SyncTimedOut.code}
CUT_OFF = {**TIMED_OUT, "trigger": Trigger.CRON}


def make_runs(*runs: dict[str, Any]) -> None:
    """Create full runs, one hour after the other."""
    for number, values in enumerate(runs):
        fields = {"outcome": Outcome.APPLIED, "started_at": BEGAN + timedelta(hours=number)}
        SyncRun.objects.create(operator="root", **{**fields, **values})


@pytest.mark.parametrize(
    ("runs", "limit"),
    [
        pytest.param([], 540, id="first run"),
        pytest.param([{"duration_seconds": 20.0}], 540, id="short"),
        pytest.param([{"duration_seconds": 1250.2}], 3751, id="long"),
        pytest.param([{"duration_seconds": 400.0, "outcome": Outcome.PARTIAL}], 1200, id="in part"),
        pytest.param([{"duration_seconds": 3000.0}, {"duration_seconds": 20.0}], 540, id="last"),
        pytest.param([{"duration_seconds": None}], 540, id="unknown"),
        pytest.param([{"duration_seconds": 540.0, **CUT_OFF}], 1080, id="cut off"),
        pytest.param(
            [{"duration_seconds": seconds, **CUT_OFF} for seconds in (540.0, 1079.5, 0.0)],
            2159,
            id="cut off, and once while it waited",
        ),
        pytest.param(
            [{"duration_seconds": 2100.0, **CUT_OFF}, {"duration_seconds": 300.0}],
            900,
            id="complete again",
        ),
        pytest.param(
            [{"duration_seconds": 300.0}, {"duration_seconds": 899.0, **CUT_OFF}],
            1798,
            id="cut off since",
        ),
        pytest.param([{"duration_seconds": 90000.0}], MAX_SYNC_SECONDS, id="maximum"),
        pytest.param(
            [
                {"duration_seconds": 2000.0, "outcome": Outcome.FAILED, "error_code": "SW_OTHER"},
                {"duration_seconds": 2000.0, "outcome": Outcome.PLANNED},
                {"duration_seconds": 2000.0, "trigger": Trigger.WEBHOOK},
            ],
            540,
            id="other runs",
        ),
    ],
)
def test_success_limit_after_runs(runs: list[dict[str, Any]], limit: int) -> None:
    make_runs(*runs)
    config = load({})
    assert get_time_limit(config) == limit
    # The job must not end before the sync, whose error gives the reason.
    assert JOBS["identity_sync.jobs.full_sync"].get_timeout(config) > limit


def test_success_runs_of_one_tenant_do_not_count() -> None:
    tenant = Tenant.objects.create(slug="a", name="A", created_at=BEGAN, updated_at=BEGAN)
    make_runs({"duration_seconds": 2000.0, "tenant": tenant})
    assert get_time_limit(load({})) == 540


def test_success_a_setting_counts_instead() -> None:
    make_runs({"duration_seconds": 1250.0}, {"duration_seconds": 3750.0, **CUT_OFF})
    config = load({"SCAIWAVE_SYNC_TIMEOUT_SECONDS": "100"})
    assert get_time_limit(config) == 100
    assert JOBS["identity_sync.jobs.full_sync"].get_timeout(config) == 160


@pytest.mark.django_db(transaction=True)  # A limit may end a query, and with it the connection.
@pytest.mark.sandbox(people=20, tenants=2, groups=8, scim=False)
def test_success_a_sync_that_is_cut_off_completes_in_the_end(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "DEFAULT_SECONDS", 2)
    settings.CONFIG = make_config(sandbox)
    sandbox.latency = 0.8  # The lists follow one another, so that two seconds are never enough.
    for _ in range(10):
        try:
            jobs.full_sync()
        except SyncTimedOut:
            connection.close()  # as a worker does before each job
            continue
        break
    outcomes = SyncRun.objects.order_by("started_at").values_list("outcome", flat=True)
    *cut, last = outcomes
    assert cut
    assert set(cut) == {Outcome.FAILED}
    assert last == Outcome.APPLIED
