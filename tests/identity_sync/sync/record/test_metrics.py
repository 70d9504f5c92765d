"""What `/metrics` says of syncs."""

from __future__ import annotations

from typing import Any

import pytest

from identity_sync.models import Outcome, SyncRun
from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import list_people, sync
from tests.scaiwave.operations.test_metrics import read_metrics

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=20, groups=2),
]


def test_success_counts_what_syncs_changed(
    scaikey: Sandbox, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        sync()
    people = len(list_people(scaikey))
    name = "scaiwave_scaikey_reconcile_diffs_total"
    assert read_metrics()[name]["added", "participants"] == people
    with django_capture_on_commit_callbacks(execute=True):
        sync()
        sync(dry_run=True)
    samples = read_metrics()
    assert samples[name]["added", "participants"] == people
    assert {name for (name,), value in samples["scaiwave_sync_last_outcome"].items() if value} == {
        "applied"
    }
    success = SyncRun.objects.filter(outcome=Outcome.APPLIED).order_by("-started_at").first()
    assert success is not None
    assert success.ended_at is not None
    assert samples["scaiwave_sync_last_success_timestamp_seconds"][()] == pytest.approx(
        success.ended_at.timestamp()
    )
