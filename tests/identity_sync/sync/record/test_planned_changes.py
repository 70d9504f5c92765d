"""What a run has planned and not made: whom it lists, how long, and that it counts nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from identity_sync.models import SyncPlannedChange, SyncRun
from identity_sync.report import KINDS
from identity_sync.reports.runs import list_changes, show_run
from identity_sync.sync.record import history
from identity_sync.sync.record.erase_names import erase_names
from scaiwave.extensions import PurgedPerson
from scaiwave.operations.metrics.collectors import collect_sync_metrics
from scaiwave.operations.overview.sync import build_sync_part
from scaiwave.sandbox import Sandbox
from tenants.audit.queries.entries import min_uuid7_at
from tenants.models import AdminUser, Participant
from tests.identity_sync.sync.helpers import (
    HOST,
    assert_partial,
    dump_rows,
    get_last_run,
    list_people,
    pick_two_people,
    sync,
)
from tests.scaiwave.row_factories import make_participant, make_tenant
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=120, groups=9, scim=False),
]


def list_planned(run: SyncRun | None = None, **filters: Any) -> list[SyncPlannedChange]:
    rows = SyncPlannedChange.objects.filter(run=run or get_last_run(), **filters)
    return list(rows.order_by("pk"))


def get_page(run: SyncRun) -> str:
    client = Client()
    accounts = AdminUser.objects.filter(username="viewer")
    client.force_login(accounts.first() or AdminUser.objects.create_superuser("viewer"))
    page = client.get(reverse("admin:identity_sync_syncrun_change", args=[run.pk]))
    return page.content.decode()


def get_counted() -> tuple[Any, ...]:
    """Return what must not change by a plan: changes, metrics, and the chart of changes."""
    now = datetime.now(UTC)
    metrics = [
        repr(metric) for metric in collect_sync_metrics(now) if "changes" in repr(metric).lower()
    ]
    chart = build_sync_part(now).charts[1]
    return dump_rows(), metrics, [point.values for point in chart.points]


def test_success_a_dry_run_lists_whom_it_would_change(synced: Sandbox) -> None:
    anna, bert = pick_two_people(synced)
    before = Participant.objects.get(scaikey_id=anna)
    synced.directory.update_user(anna, display_name="Anna")
    synced.directory.remove_user(bert)
    tenant = before.tenant
    synced.directory.add_user(str(tenant.scaikey_tenant_id), display_name="Newcomer")
    counted = get_counted()

    report = sync(dry_run=True)

    assert get_counted() == counted
    people = list_planned(kind="participants")
    assert [row.is_removal for row in people] == [True, False, False]
    assert {(row.tenant, row.tenant_slug) for row in people} == {(tenant, tenant.slug)}
    by_action = {row.action: row for row in people}
    assert by_action["deactivate"].values == {"status": ["active", "deactivated"]}
    assert by_action["update"].values == {"display_name": [before.display_name, "Anna"]}
    assert by_action["update"].subject_id == before.pk
    assert by_action["add"].values["display_name"] == [None, "Newcomer"]
    assert by_action["add"].subject_name == "Newcomer"
    run = get_last_run()
    assert list(list_changes(operator=HOST, run_id=run.pk)) == []
    shown = show_run(operator=HOST, name="last", now=datetime.now(UTC))
    assert (shown["change_count"], shown["planned_count"]) == (0, report.change_count)
    page = get_page(run)
    assert f"{report.change_count} changes that a sync would make, removals first." in page
    assert "status</strong> active → deactivated" in page
    assert page.index("deactivate</span>") < page.index("Newcomer")


def test_success_removals_of_roles_and_of_sign_in_come_first(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    scaikey.directory.set_roles(anna, [])
    scaikey.directory.suspend_user(bert)
    for row in list_people(scaikey)[5:10]:
        scaikey.directory.update_user(row["id"], display_name="Renamed")

    sync(dry_run=True)

    rows = list_planned(kind="participants")
    assert {row.subject_scaikey_id for row in rows[:2]} == {anna, bert}
    assert [row.is_removal for row in rows] == [True, True, *[False] * 5]
    assert "loses access" in get_page(get_last_run())


def test_success_a_first_sync_lists_people_of_tenants_that_are_new(scaikey: Sandbox) -> None:
    sync(dry_run=True)
    rows = list_planned()
    assert {row.tenant for row in rows} == {None}
    slugs = {row["slug"] for row in scaikey.directory.tenants.values()}
    people = [row for row in rows if row.kind == "participants"]
    assert {row.tenant_slug for row in people} == slugs
    assert len(people) == 120
    assert {row.kind for row in rows} == set(KINDS)
    assert people[0].tenant_slug in get_page(get_last_run())


def test_success_only_the_first_of_each_kind_are_recorded(
    synced: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_PLANNED_CHANGES", 4)
    people = list_people(synced)
    for row in people[:6]:
        synced.directory.update_user(row["id"], display_name="Renamed")
    for row in people[10:13]:
        synced.directory.remove_user(row["id"])

    report = sync(dry_run=True)

    rows = list_planned(kind="participants")
    assert [row.action for row in rows] == ["deactivate"] * 3 + ["update"]
    assert report.kinds["participants"].change_count == 9
    total = report.change_count
    assert f"The first {len(list_planned())} of {total} changes that" in get_page(get_last_run())


def remove_people(scaikey: Sandbox, number: int) -> None:
    for row in list_people(scaikey)[:: 120 // number][:number]:
        scaikey.directory.remove_user(row["id"])


def test_success_a_partial_run_records_no_plan(synced: Sandbox) -> None:
    """What it has skipped waits for a decision, and is listed there."""
    remove_people(synced, 24)
    assert_partial(dry_run=True)
    assert {row.action for row in list_planned(kind="participants")} == {"skipped"}
    assert_partial()
    assert list_planned(get_last_run()) == []


def test_success_only_the_newest_plans_are_kept(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_PLANS", 2)
    sync()
    scaikey.directory.update_user(list_people(scaikey)[0]["id"], display_name="Anna")
    for _ in range(3):
        sync(dry_run=True)
    runs = SyncRun.objects.filter(outcome="planned").order_by("started_at")
    assert [len(list_planned(run)) for run in runs] == [0, 1, 1]


def test_success_no_plan_is_stored_without_changes_or_retention(
    synced: Sandbox, settings: Settings
) -> None:
    sync(dry_run=True)
    assert not SyncPlannedChange.objects.exists()
    assert "planned changes" in get_page(get_last_run()).lower()
    settings.CONFIG = make_config(synced, SCAIWAVE_SYNC_VALUES_RETENTION_DAYS="0")
    synced.directory.update_user(list_people(synced)[0]["id"], display_name="Anna")
    sync(dry_run=True)
    assert not SyncPlannedChange.objects.exists()


def test_success_a_dry_run_ends_well_if_its_plan_can_not_be_stored(
    synced: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    synced.directory.update_user(list_people(synced)[0]["id"], display_name="Anna")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sw_sync_planned_changes RENAME TO sw_elsewhere")

    report = sync(dry_run=True)

    assert report.outcome == "planned"
    assert report.change_count == 1
    assert "could not be recorded" in caplog.text
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sw_elsewhere RENAME TO sw_sync_planned_changes")
    assert "The list is not kept" in get_page(get_last_run())


def make_planned(person: Participant, **fields: Any) -> SyncPlannedChange:
    run = SyncRun.objects.create(
        operator="ops",
        outcome="planned",
        started_at=datetime.now(UTC),
        counts={"participants": {"seen": 1, "updated": 1}},
    )
    values = {
        "run": run,
        "tenant": person.tenant,
        "kind": "participants",
        "action": "update",
        "is_removal": False,
        "subject_id": person.pk,
        "subject_name": "Zuzanna Qvist",
        "reason_code": "changed",
        **fields,
    }
    return SyncPlannedChange.objects.create(**values)


def test_success_old_plans_are_hidden_at_once_and_deleted_by_the_next_sync(
    synced: Sandbox, client: Client
) -> None:
    person = Participant.objects.all()[0]
    old = make_planned(person, id=min_uuid7_at(datetime.now(UTC) - timedelta(days=31)))
    new = make_planned(person)
    assert "Zuzanna Qvist" not in get_page(old.run)
    assert "Zuzanna Qvist" in get_page(new.run)
    listed = client.get(reverse("admin:identity_sync_syncplannedchange_changelist"))
    assert list(listed.context["cl"].result_list) == [new]
    sync()
    assert list(SyncPlannedChange.objects.all()) == [new]


def test_success_a_purge_erases_people_from_plans(scaikey: Sandbox) -> None:
    """Also from those that would have added them, in which they have another ID."""
    anna, bert = pick_two_people(scaikey)
    sync(dry_run=True)
    assert SyncPlannedChange.objects.filter(person_scaikey_id=anna, kind="memberships").exists()
    sync()
    scaikey.directory.remove_user(anna)
    sync(dry_run=True)
    assert SyncPlannedChange.objects.filter(person_scaikey_id=anna, action="deactivate").exists()
    person = Participant.objects.get(scaikey_id=anna)
    name = person.display_name
    others = SyncPlannedChange.objects.exclude(person_scaikey_id=anna).count()

    erase_names([PurgedPerson(person.pk, anna, frozenset(), frozenset())], "Deleted user")

    left = SyncPlannedChange.objects.all()
    assert left.count() == others
    assert not [row for row in left if name in repr((row.subject_name, row.values))]
    assert left.filter(person_scaikey_id=bert).exists()


def test_success_runs_are_deleted_with_their_plans() -> None:
    person = make_participant(make_tenant())
    run = make_planned(person).run
    run.delete()
    assert not SyncPlannedChange.objects.exists()


_END_SESSION = """
    CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';
    CREATE TRIGGER end_session BEFORE INSERT ON sw_sync_planned_changes
        FOR EACH ROW EXECUTE FUNCTION end_session();
"""


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_a_dry_run_ends_well_if_the_session_ends_while_its_plan_is_stored(
    synced: Sandbox,
) -> None:
    synced.directory.update_user(list_people(synced)[0]["id"], display_name="Anna")
    with connection.cursor() as cursor:
        cursor.execute(_END_SESSION)
    try:
        assert sync(dry_run=True).outcome == "planned"
        run = get_last_run()
        assert (run.outcome, run.error_code) == ("planned", "")
        assert not SyncPlannedChange.objects.exists()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION end_session CASCADE")
    assert sync().outcome == "applied"
