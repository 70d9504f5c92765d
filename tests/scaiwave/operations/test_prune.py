from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction

from federation.keys.lifecycle import generate_key
from identity_sync.models import SyncChange, SyncChangeValues, SyncRun, WebhookEvent
from rooms.models import SearchBackfill
from rooms.search.scope import Scope
from scaiwave.config import load
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.tenants import check_retention
from scaiwave.operations.jobs import tasks
from scaiwave.operations.prune import prune
from scaiwave.queue.jobs import JOBS
from tenants.audit.queries.entries import min_uuid7_at
from tenants.audit.seal_audit import seal_audit
from tenants.audit.triggers import missing_triggers
from tenants.errors import AuditAgeTooLow, AuditNotSealed, TenantOnHold
from tenants.models import AuditEntry
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, NOW, run_command

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
DAY = timedelta(days=1)
_numbers = count(7 << 76)


def never(question: str) -> None:
    raise AssertionError(question)


run = partial(prune, operator=HOST_OPERATOR, config=load({}), confirm=never, now=NOW)


def make_run(days: float, **fields: Any) -> SyncRun:
    at = NOW - days * DAY
    values = {"outcome": "applied", "operator": "root", "started_at": at, "ended_at": at}
    return SyncRun.objects.create(**{**values, **fields})


def make_webhook(days: float, state: str = "handled") -> WebhookEvent:
    return WebhookEvent.objects.create(
        event_id=f"evt-{days}-{state}",
        event_type="user.updated",
        state=state,
        received_at=NOW - days * DAY,
    )


def make_audit_entry(at: datetime, tenant_id: str = "") -> AuditEntry:
    """Make an entry of that time: its day is that of its ID."""
    return AuditEntry.objects.create(
        id=UUID(int=min_uuid7_at(at).int + next(_numbers)),
        at=at,
        operator="root",
        operator_role="host",
        action="x",
        subject_type="t",
        subject_id="1",
        tenant_id=tenant_id,
    )


def seal(now: datetime) -> None:
    generate_key(operator=HOST_OPERATOR, now=now)
    seal_audit(operator=HOST_OPERATOR, now=now)


def make_session(key: str, expires_at: datetime) -> Session:
    return Session.objects.create(session_key=key, expire_date=expires_at)


def counts(**options: Any) -> dict[str, int]:
    return {row["name"]: row["count"] for row in run(**options).figures["pruned"] if row["count"]}


def test_success_nothing_is_old() -> None:
    result = run()
    assert (result.changed, result.sentence) == (False, "Nothing is old enough to be deleted.")
    assert not AuditEntry.objects.exists()


def test_success_every_kind_of_old_records() -> None:
    old = make_run(401)
    change = SyncChange.objects.create(
        run=old, kind="participants", action="update", subject_id=old.pk
    )
    SyncChangeValues.objects.create(change=change, values={"display_name": ["Ann", "Anna"]})
    kept = [make_run(399), make_run(402, outcome="running", ended_at=None)]
    for days in (29, 31):
        make_webhook(days)
    make_webhook(31, "pending")
    everything = Scope().name
    for name, days in ((everything, 200), (everything, 100), ("tenant=x", 91), ("tenant=x", 89)):
        SearchBackfill.objects.create(
            scope=name, operator="root", started_at=NOW - days * DAY, finished_at=NOW - days * DAY
        )
    make_session("expired", NOW - DAY)
    make_session("valid", NOW + DAY)

    planned = counts(dry_run=True)
    assert planned == {"sync_runs": 1, "webhook_events": 1, "sessions": 1, "backfills": 2}
    assert SyncChangeValues.objects.count() == 1
    assert counts() == planned
    assert set(SyncRun.objects.all()) == set(kept)
    assert (SyncChange.objects.count(), SyncChangeValues.objects.count()) == (0, 0)
    assert sorted(WebhookEvent.objects.values_list("event_id", flat=True)) == [
        "evt-29-handled",
        "evt-31-pending",
    ]
    assert [session.session_key for session in Session.objects.all()] == ["valid"]
    left = SearchBackfill.objects.order_by("started_at").values_list("scope", "started_at")
    assert list(left) == [(everything, NOW - 100 * DAY), ("tenant=x", NOW - 89 * DAY)]
    (entry,) = AuditEntry.objects.all()
    assert entry.action == "prune"
    assert entry.details["sync_runs"]["count"] == 1
    assert counts() == {}


def test_success_the_run_that_syncs_are_judged_by_is_kept() -> None:
    make_run(500)
    last = make_run(450)
    after = [make_run(440, trigger="webhook"), make_run(430, outcome="failed")]
    assert counts() == {"sync_runs": 1}
    assert set(SyncRun.objects.all()) == {last, *after}


def test_success_settings() -> None:
    make_run(10)
    make_run(1)
    make_webhook(1)
    config = load({"SCAIWAVE_SYNC_RUNS_RETENTION_DAYS": "0"})
    assert counts(config=config) == {}
    config = load(
        {"SCAIWAVE_SYNC_RUNS_RETENTION_DAYS": "5", "SCAIWAVE_WEBHOOK_RETENTION_DAYS": "0"}
    )
    assert counts(config=config) == {"sync_runs": 1, "webhook_events": 1}


def test_success_audit_entries_by_whole_days() -> None:
    midnight = datetime(2025, 1, 1, tzinfo=UTC)
    now = midnight + 100 * DAY + timedelta(hours=15)
    for offset in (-DAY, -timedelta(seconds=1), timedelta(0), DAY):
        make_audit_entry(midnight + offset)
    with pytest.raises(AuditNotSealed, match="from before 2025-01-01 are not sealed"):
        run(now=now, audit_days=100)
    seal(now)
    questions: list[str] = []
    prune_audit = partial(run, now=now, audit_days=100)
    assert prune_audit(dry_run=True).sentence == "Would delete 2 records."
    assert prune_audit(confirm=questions.append).sentence == "2 records deleted."
    assert questions == ["This deletes 2 audit entries from before 2025-01-01 for good."]
    oldest, *_, newest = AuditEntry.objects.order_by("at", "pk")
    assert (oldest.at, newest.action) == (midnight, "prune")
    assert newest.details["audit_entries"] == {"before": "2025-01-01T00:00:00+00:00", "count": 2}
    assert missing_triggers() == []
    with pytest.raises(IntegrityError), transaction.atomic():
        oldest.delete()


def test_fail_declined_deletes_nothing() -> None:
    make_audit_entry(NOW - 400 * DAY)
    seal(NOW - 300 * DAY)
    make_session("expired", NOW - DAY)
    with pytest.raises(AssertionError, match="1 audit entry from before"):
        run(audit_days=100)
    # The other entry is that of the key.
    assert (AuditEntry.objects.count(), Session.objects.count()) == (2, 1)


def test_fail_audit_entries_of_a_tenant_with_a_hold() -> None:
    tenant = row_factories.make_tenant()
    make_audit_entry(NOW - 400 * DAY, str(tenant.pk))
    seal(NOW - 300 * DAY)
    row_factories.make_hold(tenant)
    with pytest.raises(TenantOnHold):
        run(audit_days=100)
    tenant.holds.update(lifted_at=NOW)
    result = run(audit_days=100, confirm=lambda question: None)
    assert result.sentence == "1 record deleted."


def test_success_audit_entries_older_than_any_date() -> None:
    make_audit_entry(NOW - 400 * DAY)
    seal(NOW - 300 * DAY)
    run(audit_days=999_999_999)
    # The other entry is that of the key.
    assert AuditEntry.objects.count() == 2


def test_fail_audit_entries_that_are_too_young() -> None:
    with pytest.raises(AuditAgeTooLow) as caught:
        run(audit_days=29)
    assert caught.value.fix == "Pass --audit-older-than 30 or more."


def test_success_command() -> None:
    make_session("expired", NOW - 1000 * DAY)
    assert run_command("prune", "--dry-run").endswith("Would delete 1 record.\n")
    document = json.loads(run_command("prune", "--json"))
    assert document["changed"]
    assert {row["name"]: row["count"] for row in document["pruned"]}["sessions"] == 1
    assert not Session.objects.exists()


def test_success_job_of_the_schedule() -> None:
    make_session("expired", NOW - 1000 * DAY)
    make_audit_entry(NOW - 1000 * DAY)
    deleted = tasks.prune_records()
    assert (deleted["sessions"], "audit_entries" in deleted) == (1, False)
    definition = JOBS["tenants.jobs.prune_records"]
    assert (definition.cron, definition.is_scheduled(load({}))) == ("41 4 * * *", True)


def test_success_doctor_notices_that_nothing_is_pruned() -> None:
    make_session("expired", NOW - 6 * DAY)
    (finding,) = check_retention(load({}), NOW)
    assert finding.state is State.PASS
    (finding,) = check_retention(load({}), NOW + 2 * DAY)
    assert (finding.state, finding.message) == (
        State.WARN,
        "Records that should have been deleted a week ago: 1 expired sessions of the admin site.",
    )
