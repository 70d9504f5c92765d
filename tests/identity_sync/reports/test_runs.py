"""List runs, show one with its changes, and the last changes of a person."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from pytest_django import Settings

from identity_sync.errors import SyncRunNotFound
from identity_sync.management.output import format_change_count, format_run_changes, print_run
from identity_sync.models import SyncChange, SyncChangeValues, SyncRun
from identity_sync.reports.runs import (
    find_changes_of_participant,
    list_changes,
    list_runs,
    show_run,
)
from identity_sync.sync.record.history import delete_expired_values
from scaiwave.config import load
from scaiwave.console.output import Output
from scaiwave.core.operators import Operator
from tenants.audit.queries.entries import min_uuid7_at
from tenants.errors import AmbiguousName, TenantNotFound
from tenants.models import Participant, Tenant
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    add_members,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
COUNTS = {"participants": {"seen": 5, "added": 2, "updated": 1, "deactivated": 1, "skipped": 4}}


def make_run(minutes: int = 9, **fields: Any) -> SyncRun:
    started = NOW - timedelta(minutes=minutes)
    values = {
        "operator": "ops",
        "outcome": "applied",
        "counts": COUNTS,
        "started_at": started,
        "ended_at": started + timedelta(seconds=4),
        "duration_seconds": 4.0,
        "requests": 13,
    }
    return SyncRun.objects.create(**{**values, **fields})


def make_change(
    run: SyncRun, person: Participant, values: dict[str, Any] | None = None, **fields: Any
) -> SyncChange:
    defaults = {
        "kind": "participants",
        "action": "update",
        "tenant": person.tenant,
        "subject_id": person.pk,
        "subject_scaikey_id": person.scaikey_id,
        "subject_name": person.display_name,
        "fields": ",".join(values or ()),
        "reason_code": "changed",
    }
    change = SyncChange.objects.create(run=run, **{**defaults, **fields})
    if values is not None:
        SyncChangeValues.objects.create(change=change, values=values)
    return change


def list_ids(operator: Operator = HOST_OPERATOR, **filters: Any) -> list[UUID]:
    rows = list_runs(operator=operator, **filters, now=NOW)
    return [row["run_id"] for row in rows]


def test_success_newest_first_and_filtered() -> None:
    acme, lab = make_tenant(), make_tenant("lab")
    old = make_run(60, outcome="refused", error_code="SW_X", error_message="why")
    own = make_run(30, tenant=acme, trigger="cron")
    full = make_run(20)
    make_change(full, make_person(lab))

    assert list_ids() == [full.pk, own.pk, old.pk]
    assert list_ids(outcome="refused") == [old.pk]
    assert list_ids(trigger="cron") == [own.pk]
    assert list_ids(tenant="acme") == [own.pk]
    assert list_ids(tenant="lab") == [full.pk]
    assert list_ids(since=NOW - timedelta(minutes=35)) == [full.pk, own.pk]
    with pytest.raises(TenantNotFound):
        list_runs(operator=HOST_OPERATOR, tenant="nowhere", now=NOW)


SUMMARY = "2 added, 1 updated, 1 deactivated, 4 skipped"


@pytest.mark.parametrize(
    ("outcome", "changed", "text", "summary"),
    [
        ("applied", 4, "4", SUMMARY),
        ("partial", 4, "4", SUMMARY),
        ("planned", 0, "0 (4 planned)", f"nothing (planned: {SUMMARY})"),
        ("refused", 0, "0 (4 refused)", f"nothing (refused: {SUMMARY})"),
    ],
)
def test_success_only_what_was_written_counts_as_changed(
    outcome: str, changed: int, text: str, summary: str
) -> None:
    make_run(outcome=outcome)
    (row,) = list_runs(operator=HOST_OPERATOR, now=NOW)
    assert (row["change_count"], row["planned_count"]) == (changed, 4)
    assert (format_change_count(row), format_run_changes(row)) == (text, summary)


def test_success_commands() -> None:
    run = make_run(outcome="refused", error_code="SW_X", error_message="why", error_fix="Do it.")
    (row,) = json.loads(run_command("sync_runs", "--json"))["runs"]
    assert row["run_id"] == str(run.pk)
    assert row["error"] == {"code": "SW_X", "message": "why"}
    assert row["dry_run"] is False
    table = run_command("sync_runs")
    assert str(run.pk)[:13] in table
    assert "0 (4 refused)" in table
    (line,) = csv.DictReader(io.StringIO(run_command("sync_runs", "--csv")))
    assert (line["run_id"], json.loads(line["error"])["code"]) == (str(run.pk), "SW_X")

    text = run_command("sync_show_run", "last")
    assert "Error             why [SW_X]" in text
    assert "Fix               Do it." in text
    assert "Nothing was changed. These are the counts of the plan:" in text
    SyncRun.objects.update(is_dry_run=True)
    assert json.loads(run_command("sync_runs", "--json"))["runs"][0]["dry_run"] is True
    shown = [["sync_runs"], ["sync_show_run", "last"], ["sync_status", "--no-drift", "--exit-zero"]]
    assert all("refused dry run" in run_command(*words) for words in shown)
    SyncRun.objects.update(outcome="planned")
    assert "dry run" not in run_command("sync_runs"), "planned says it"


def test_success_show_run_with_its_changes() -> None:
    anna, bo = make_person(make_tenant()), make_person(make_tenant("lab"), "bo")
    losses = [["people", str(bo.tenant_id), 1], ["affected_people", str(bo.tenant_id), 3]]
    run = make_run(losses=losses, warnings=["Careful."])
    make_change(run, anna, {"display_name": ["Ann", "Anna"], "email": ["", "anna@acme.example"]})
    make_change(run, bo, action="deactivate", reason_code="removed")

    document = json.loads(run_command("sync_show_run", str(run.pk)[:13], "--json"))

    assert {key: number for key, number in document["run"]["losses"].items() if number} == {
        "people": 1
    }
    assert document["run"]["warnings"] == ["Careful."]
    first, second = document["changes"]
    assert first["values"] == [
        {"field": "display_name", "old": "Ann", "new": "Anna"},
        {"field": "email", "old": "", "new": "anna@acme.example"},
    ]
    assert (first["tenant"], first["subject"], first["fields"]) == (
        "acme",
        "Anna",
        ["display_name", "email"],
    )
    assert (second["action"], second["values"]) == ("deactivate", None)
    text = run_command("sync_show_run", "last")
    assert "display_name Ann → Anna, email none → anna@acme.example" in text
    assert "Losses of access  1 person" in text

    def subjects(**filters: Any) -> list[str]:
        rows = list_changes(operator=HOST_OPERATOR, run_id=run.pk, **filters)
        return [row["subject"] for row in rows]

    assert subjects() == ["Anna", "Bo"]
    assert subjects(tenant="lab") == ["Bo"]
    assert subjects(action="update") == ["Anna"]
    assert subjects(kind="groups") == []
    limited = json.loads(run_command("sync_show_run", "last", "--limit", "1", "--json"))
    assert len(limited["changes"]) == 1


def test_success_values_that_are_deleted_leave_the_fields() -> None:
    run = make_run()
    change = make_change(run, make_person(make_tenant()), {"email": ["a", "b"]})
    SyncChangeValues.objects.all().delete()
    (row,) = list_changes(operator=HOST_OPERATOR, run_id=run.pk)
    assert (row["fields"], row["values"]) == (["email"], None)
    assert SyncChange.objects.get().pk == change.pk


@pytest.mark.parametrize("days", [0, 30])
def test_success_values_are_not_shown_after_their_retention(
    days: int, settings: Settings, admin_client: Client
) -> None:
    """Even if no sync has deleted them yet."""
    settings.CONFIG = load({"SCAIWAVE_SYNC_VALUES_RETENTION_DAYS": str(days)})
    now = datetime.now(UTC)
    run, person = make_run(), make_person(make_tenant())
    changes = [
        make_change(
            run,
            person,
            {"email": ["old@a.example", ""]},
            pk=min_uuid7_at(now - timedelta(days=age)),
        )
        for age in (31, 1)
    ]
    kept = [age <= days for age in (31, 1)]
    rows = list(list_changes(operator=HOST_OPERATOR, run_id=run.pk))
    assert [row["values"] is not None for row in rows] == kept
    rows = find_changes_of_participant(person.pk)
    assert [row["values"] is not None for row in reversed(rows)] == kept
    statuses = [
        admin_client.get(f"/admin/identity_sync/syncchangevalues/{change.pk}/change/").status_code
        for change in changes
    ]
    assert [status == 200 for status in statuses] == kept


def test_success_old_names() -> None:
    run = make_run()
    make_change(run, make_person(make_tenant()), action="held", fields="name,partner_id")
    (row,) = list_changes(operator=HOST_OPERATOR, run_id=run.pk, action="skipped")
    assert (row["action"], row["fields"]) == ("skipped", ["name", "partner"])


def test_fail_names_of_runs() -> None:
    first = make_run(pk=UUID("019aab53-0c1f-7000-8000-000000000001"))
    second = make_run(8, pk=UUID("019aab53-0d00-7000-8000-000000000002"))
    for name in ("019AAB530C1F", "019aab53-0c", str(first.pk)):
        assert show_run(operator=HOST_OPERATOR, name=name, now=NOW)["run_id"] == first.pk
    assert show_run(operator=HOST_OPERATOR, name="last", now=NOW)["run_id"] == second.pk
    with pytest.raises(AmbiguousName) as caught:
        show_run(operator=HOST_OPERATOR, name="019aab53", now=NOW)
    assert caught.value.details == {"candidates": [str(second.pk), str(first.pk)]}
    for name in ("", "-", "ffff", "no run", "0" * 33, "\0"):
        with pytest.raises(SyncRunNotFound):
            show_run(operator=HOST_OPERATOR, name=name, now=NOW)


def make_runs_of_two_tenants() -> tuple[Tenant, dict[str, SyncRun]]:
    """Two tenants of two partners, with runs for each, for all, and for webhooks."""
    acme = make_tenant(partner=make_partner())
    lab = make_tenant("lab", partner=make_partner("south"))
    runs = {
        "full": make_run(50, warnings=["Careful."], error_code="SW_X", error_message="names lab"),
        "acme": make_run(40, tenant=acme),
        "lab": make_run(30, tenant=lab),
        "webhook acme": make_run(20, trigger="webhook"),
        "webhook lab": make_run(10, trigger="webhook"),
    }
    anna, bo = make_person(acme), make_person(lab, "bo")
    for name in ("full", "webhook acme"):
        make_change(runs[name], anna)
    for name in ("full", "webhook lab"):
        make_change(runs[name], bo)
    return acme, runs


@pytest.mark.parametrize("make_operator", [make_tenant_admin, None])
def test_success_a_narrow_scope_sees_its_own_runs_and_changes(make_operator: Any) -> None:
    acme, runs = make_runs_of_two_tenants()
    assert acme.partner is not None
    operator = make_operator(acme) if make_operator else make_partner_admin(acme.partner)

    assert list_ids(operator) == [runs[name].pk for name in ("webhook acme", "acme", "full")]
    assert list_ids(READ_ONLY_OPERATOR) == [run.pk for run in reversed(runs.values())]
    full = show_run(operator=operator, name=str(runs["full"].pk), now=NOW)
    hidden = ("operator", "change_count", "planned_count", "kinds", "requests", "losses")
    assert {full[name] for name in (*hidden, "warnings")} == {None}
    assert full["error"] == {"code": "SW_X", "message": None, "fix": None}
    assert (format_change_count(full), format_run_changes(full)) == ("hidden", "hidden")
    stdout = io.StringIO()
    print_run(Output(stdout=stdout, stderr=stdout), full)
    shown = dict(line.split(maxsplit=1) for line in stdout.getvalue().splitlines() if line)
    words = ("Operator", "Changes", "Requests", "Error", "Fix")
    assert [shown[word] for word in words] == ["hidden"] * 3 + ["hidden [SW_X]", "hidden"]
    assert "Losses of access  hidden" in stdout.getvalue()
    changes = list_changes(operator=operator, run_id=runs["full"].pk)
    assert [row["subject"] for row in changes] == ["Anna"]
    for name in ("lab", "webhook lab"):
        with pytest.raises(SyncRunNotFound):
            show_run(operator=operator, name=str(runs[name].pk), now=NOW)
    assert list_ids(operator, tenant="acme") == [
        runs[name].pk for name in ("webhook acme", "acme", "full")
    ]


def test_success_last_changes_of_a_person() -> None:
    tenant = make_tenant()
    anna, bo, group = make_person(tenant), make_person(tenant, "bo"), make_group(tenant)
    add_members(group, anna)
    edge = anna.group_memberships.get()
    run = make_run()
    make_change(run, anna, {"display_name": ["Ann", "Anna"]})
    make_change(run, bo, {"display_name": ["B", "Bo"]})
    make_change(
        run,
        anna,
        {"group": [None, group.name]},
        kind="memberships",
        action="add",
        subject_id=edge.pk,
        fields="",
    )

    rows = find_changes_of_participant(anna.pk)

    assert [row["kind"] for row in rows] == ["memberships", "participants"]
    assert rows[0]["changed_at"] == run.started_at
    document = json.loads(run_command("show_participant", str(anna.pk), "--json"))
    assert [row["run_id"] for row in document["participant"]["sync_changes"]] == [str(run.pk)] * 2
    text = run_command("show_participant", str(anna.pk))
    assert "Last changes by syncs" in text
    assert "display_name Ann → Anna" in text
    assert "group none → Engineering" in text


def test_success_values_that_are_kept_for_decades(settings: Settings) -> None:
    settings.CONFIG = load({"SCAIWAVE_SYNC_VALUES_RETENTION_DAYS": "20000"})
    run = make_run()
    make_change(run, make_person(make_tenant()), {"email": ["a", "b"]})
    (row,) = list_changes(operator=HOST_OPERATOR, run_id=run.pk)
    assert row["values"] == [{"field": "email", "old": "a", "new": "b"}]
    assert delete_expired_values(datetime.now(UTC), days=20_000) == 0
