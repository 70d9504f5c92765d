"""The values before and after each change, and how long they are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from identity_sync.models import SyncChange, SyncChangeValues, SyncRun
from identity_sync.sync.record import history, prune
from scaiwave.sandbox import Sandbox
from tenants.audit.queries.entries import min_uuid7_at
from tenants.models import Participant, Partner, Tenant
from tests.identity_sync.sync.helpers import (
    ADMIN,
    get_last_run,
    list_groups,
    list_people,
    list_people_of_tenant,
    pick_two_people,
    record_writes,
    sync,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=12),
]
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def get_values(**filters: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the values of the last run by kind and action."""
    rows = SyncChangeValues.objects.filter(change__run=get_last_run(), **filters)
    return {(row.change.kind, row.change.action): row.values for row in rows}


def test_success_fields_of_a_person(synced: Sandbox) -> None:
    assert {kind for kind, _ in get_values()} == {"partners", "tenants"}
    first, second = pick_two_people(synced)
    before = Participant.objects.get(scaikey_id=first)
    synced.directory.update_user(first, display_name="Anna", email="anna@new.example")
    synced.directory.suspend_user(second)

    sync()

    values = {
        row.change.subject_scaikey_id: row.values
        for row in SyncChangeValues.objects.filter(change__run=get_last_run())
    }
    assert values == {
        first: {
            "display_name": [before.display_name, "Anna"],
            "email": [before.email, "anna@new.example"],
        },
        second: {"scaikey_status": ["ACTIVE", "SUSPENDED"]},
    }


def test_success_new_removed_restored_and_moved_people(synced: Sandbox) -> None:
    source, target, *_ = synced.directory.tenants
    slugs = [synced.directory.tenants[tenant]["slug"] for tenant in (source, target)]
    person = list_people_of_tenant(synced, source)[0]["id"]
    synced.directory.move_user(person, target)
    sync()
    row = Participant.objects.get(scaikey_id=person, absent_since=None)
    values = get_values(change__kind="participants")
    assert values["participants", "move"] == {
        "status": ["active", "deactivated"],
        "tenant": slugs,
    }
    assert values["participants", "add"]["display_name"] == [None, row.display_name]
    assert values["participants", "add"]["email"] == [None, row.email]

    synced.directory.move_user(person, source)
    sync()
    values = get_values(change__kind="participants")
    assert values["participants", "restore"] == {"status": ["deactivated", "active"]}

    synced.directory.remove_user(person)
    sync()
    assert get_values(change__kind="participants") == {
        ("participants", "deactivate"): {"status": ["active", "deactivated"]}
    }


def test_success_partners_tenants_groups_and_memberships(synced: Sandbox) -> None:
    first, second = synced.directory.partners
    tenant = next(row for row in synced.directory.tenants.values() if row["partner_id"] == first)
    slugs = [Partner.objects.get(scaikey_id=key).slug for key in (first, second)]
    synced.directory.update_tenant(tenant["id"], partner_id=second, name="Renamed")
    sync()
    old_name = Tenant.objects.get(scaikey_tenant_id=tenant["id"])
    assert old_name.name == "Renamed"
    assert get_values() == {
        ("tenants", "update"): {"name": [tenant["name"], "Renamed"], "partner": slugs}
    }

    group = next(row for row in list_groups(synced) if row["tenant_id"] == tenant["id"])
    synced.directory.remove_group(group["id"])
    sync()
    assert get_values(change__kind="groups") == {
        ("groups", "deactivate"): {"status": ["active", "deactivated"]}
    }


def test_success_memberships_name_their_group(synced: Sandbox) -> None:
    group = next(row for row in list_groups(synced))
    people = list_people_of_tenant(synced, group["tenant_id"])
    rows = synced.directory.list_members(group["id"], 0, 10**6)[0]
    members = {msgspec.json.decode(row).get("user_id") for row in rows}
    outsider = next(row["id"] for row in people if row["id"] not in members)
    synced.directory.add_member(group["id"], user_id=outsider)
    sync()
    assert get_values(change__kind="memberships") == {
        ("memberships", "add"): {"group": [None, group["name"]]}
    }
    synced.directory.remove_member(group["id"], user_id=outsider)
    sync()
    assert get_values(change__kind="memberships") == {
        ("memberships", "deactivate"): {"group": [group["name"], None]}
    }


def test_success_values_are_not_stored_of_a_plan_or_without_retention(
    synced: Sandbox, settings: Settings
) -> None:
    stored = SyncChangeValues.objects.count()
    assert stored
    synced.directory.update_user(list_people(synced)[0]["id"], display_name="Anna")
    sync(dry_run=True)
    assert SyncChangeValues.objects.count() == stored
    settings.CONFIG = make_config(synced, SCAIWAVE_SYNC_VALUES_RETENTION_DAYS="0")

    sync()

    assert not SyncChangeValues.objects.exists()
    change = SyncChange.objects.get(run=get_last_run())
    assert change.fields == "display_name"


def make_old_values(number: int, *, days: int) -> None:
    """Store values of changes that were made this many days ago."""
    run = SyncRun.objects.create(operator="ops", outcome="applied", started_at=NOW)
    start = min_uuid7_at(NOW - timedelta(days=days)).int
    keys = [start + offset for offset in range(number)]
    SyncChange.objects.bulk_create(
        SyncChange(
            pk=UUID(int=key),
            run=run,
            kind="partners",
            action="update",
            subject_id=run.pk,
            reason_code="changed",
        )
        for key in keys
    )
    SyncChangeValues.objects.bulk_create(
        SyncChangeValues(change_id=UUID(int=key), values={"name": ["a", "b"]}) for key in keys
    )


def test_success_old_values_end_and_their_changes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    make_old_values(25, days=31)
    make_old_values(3, days=29)
    monkeypatch.setattr(prune, "BATCH_SIZE", 10)

    assert history.delete_expired_values(NOW, days=30) == 25

    assert SyncChangeValues.objects.count() == 3
    assert SyncChange.objects.count() == 28
    make_old_values(25, days=32)
    monkeypatch.setattr(history, "MAX_DELETED_BATCHES", 2)
    assert history.delete_expired_values(NOW, days=30) == 20
    assert history.delete_expired_values(NOW, days=30) == 5


@pytest.mark.parametrize("of_tenant", [False, True])
def test_success_syncs_delete_old_values(synced: Sandbox, of_tenant: bool) -> None:
    make_old_values(5, days=400)
    sync(dry_run=True)
    assert SyncChangeValues.objects.filter(change__reason_code="changed").count() == 5
    tenant = Tenant.objects.exclude(scaikey_tenant_id=None)[0]
    with record_writes() as written:
        sync(tenant=str(tenant.pk) if of_tenant else None)
    assert "sw_sync_change_values" in written
    assert SyncChangeValues.objects.filter(change__reason_code="changed").count() == 0


def test_fail_values_are_deleted_although_scaikey_is_down(scaikey: Sandbox) -> None:
    make_old_values(5, days=400)
    scaikey.faults.add("status", path=f"{ADMIN}/users/", status=403)
    with pytest.raises(Exception, match="403"):
        sync()
    assert not SyncChangeValues.objects.exists()


def count_queries() -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        sync()
    return len(queries)


def test_success_queries_do_not_grow_with_the_changes(synced: Sandbox) -> None:
    people = [row["id"] for row in list_people(synced)]
    synced.directory.update_user(people[0], display_name="One")
    few = count_queries()
    for number, person in enumerate(people[1:30]):
        synced.directory.update_user(person, display_name=f"Person {number}")
    assert count_queries() == few


def test_success_roles(scaikey: Sandbox) -> None:
    first, _ = pick_two_people(scaikey)
    scaikey.directory.set_roles(first, ["editor", "viewer"])
    sync()
    scaikey.directory.set_roles(first, ["viewer", "tester"])
    tenant = next(iter(scaikey.directory.tenants))
    new = scaikey.directory.add_user(tenant, display_name="New")
    scaikey.directory.set_roles(new, ["tester"])

    sync()

    values = get_values(change__kind="participants")
    assert values["participants", "update"] == {
        "roles": [["editor", "viewer"], ["tester", "viewer"]]
    }
    assert values["participants", "add"]["roles"] == [None, ["tester"]]
