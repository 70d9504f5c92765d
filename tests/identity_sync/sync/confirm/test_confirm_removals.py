"""Incomplete lists: no one is deactivated because a page omits them."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from identity_sync.errors import IncompleteListing
from identity_sync.models import SyncSkip
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Tenant
from tests.identity_sync.sync.helpers import (
    ADMIN,
    MEMBERS,
    USERS,
    age_rows,
    assert_nothing_changes,
    assert_partial,
    assert_synced,
    count_rewritten_rows,
    dump_rows,
    get_changed_counts,
    get_last_run,
    list_groups,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)
from tests.tenants.factories import make_person
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=9, scim=False),
]

CHANGED = "ScaiKey's list of users changed while it was read."


def test_success_person_missing_from_a_list_is_looked_up(synced: Sandbox) -> None:
    synced.faults.add("shift", path=USERS, query={"page": "2"}, rows=1)
    synced.faults.add("total", path=USERS, rows=1)

    report = assert_nothing_changes()

    assert len(report.warnings) >= 1
    assert get_last_run().warnings == report.warnings


def test_success_person_hidden_from_a_list_stays(synced: Sandbox) -> None:
    person = list_people(synced)[-1]["id"]
    age_rows()
    hide_from_list(synced, person)

    report = sync()

    assert report.warnings == [
        "ScaiKey's list would take access from 1 of the participants, but look-ups by ID show that "
        "they still have it. Their access is unchanged."
    ]
    assert get_changed_counts(report) == {}
    assert count_rewritten_rows() == {}


def test_success_person_deleted_by_look_up_is_removed(synced: Sandbox) -> None:
    person = list_people(synced)[-1]["id"]
    hide_from_list(synced, person)
    synced.faults.add(
        "wrong_shape", path=f"{USERS}{person}", body={"id": person, "status": "DELETED"}
    )

    assert get_changed_counts(sync())["participants"] == {"deactivated": 1}


def hide_from_list(sandbox: Sandbox, person: str) -> None:
    """Make the list omit a person whom a look-up still returns."""
    listed = [row for row in list_people(sandbox) if row["id"] != person]
    for page, start in enumerate(range(0, len(listed), 100), 1):
        rows: dict[str, Any] = {"data": listed[start : start + 100], "total": len(listed)}
        sandbox.faults.add("wrong_shape", path=USERS, query={"page": str(page)}, body=rows)


def test_success_rows_seen_twice(synced: Sandbox) -> None:
    """A list that changes while it is read adds and updates; people whom it omits stay."""
    tenant = next(iter(synced.directory.tenants))
    new = synced.directory.add_user(tenant, display_name="New")
    removed, renamed = (row["id"] for row in list_people_of_tenant(synced, tenant)[:2])
    for group in list_groups(synced):
        synced.directory.remove_member(group["id"], user_id=removed)
    synced.directory.update_user(renamed, display_name="Renamed")
    synced.directory.remove_user(removed)
    synced.faults.add("shift", path=USERS, query={"page": "2"}, rows=-5)

    report = sync()

    assert CHANGED in report.warnings
    assert get_changed_counts(report)["participants"]["deactivated"] == 1
    assert Participant.objects.get(scaikey_id=renamed).display_name == "Renamed"
    synced.faults.clear()
    assert_synced(synced)
    assert Participant.objects.filter(scaikey_id=new, absent_since=None).exists()


@pytest.mark.sandbox(partners=1, tenants=2, people=600, groups=2)
def test_fail_an_empty_list_of_people_who_exist(synced: Sandbox) -> None:
    """The sample shows that the list is wrong: no more look-ups are made, but people are added."""
    before = dump_rows()
    synced.faults.add("wrong_shape", path=USERS, times=1, body={"data": [], "total": 0})
    group = synced.directory.add_group(next(iter(synced.directory.tenants)), name="New")
    requests = synced.requests.total

    caught = assert_partial()

    assert caught.message == (
        "Skipped removals of participants: ScaiKey's list omits records that still exist. "
        "Everything else was applied."
    )
    assert get_changed_counts(caught.report) == {
        "participants": {"skipped": 570},
        "groups": {"added": 1},
    }
    assert caught.report.warnings == [
        "ScaiKey's list would take access from 30 of the participants, but look-ups by ID show "
        "that they still have it. Their access is unchanged."
    ]
    assert synced.requests.total - requests < 60
    assert dump_rows()["sw_participants"] == before["sw_participants"]
    assert Group.objects.filter(scaikey_id=group, absent_since=None).exists()
    assert SyncSkip.objects.filter(kind="participants", is_postponed=True).count() == 570
    sync()
    assert not SyncSkip.objects.exists()


UNPROVEN: list[tuple[dict[str, Any], str]] = [
    ({"action": "not_json"}, "it is not JSON"),
    ({"action": "redirect", "location": "/elsewhere"}, "redirects GET"),
    ({"action": "status", "status": 403}, "does not allow GET"),
    ({"action": "status", "status": 404, "body": {"message": "no route"}}, "404 that is not"),
    ({"action": "status", "status": 418}, "418"),
    ({"action": "wrong_shape", "body": {"id": "usr_another"}}, "a different ID"),
    ({"action": "wrong_shape", "body": {"data": []}}, "Invalid response"),
    ({"action": "wrong_shape", "body": None}, "Invalid response"),
]


@pytest.mark.parametrize(("response", "reason"), UNPROVEN)
def test_success_inconclusive_look_up_postpones_the_removal(
    synced: Sandbox, response: dict[str, Any], reason: str
) -> None:
    """A person was removed, but ScaiKey's response to the look-up does not prove it."""
    person = list_people(synced)[-1]["id"]
    synced.directory.remove_user(person)
    synced.faults.add(path=f"{USERS}{person}", **response)
    for _ in range(2):
        report = sync()
        assert report.outcome == "applied"
        assert get_changed_counts(report)["participants"] == {"skipped": 1}
        assert "Postponed 1 removal of participants" in report.warnings[0]
        assert reason in report.warnings[0]
        assert Participant.objects.get(scaikey_id=person).absent_since is None
    skip = SyncSkip.objects.get(kind="participants")
    assert (skip.subject_scaikey_id, skip.runs, skip.is_postponed) == (person, 2, True)
    synced.faults.clear()
    assert get_changed_counts(sync())["participants"] == {"deactivated": 1}
    assert not SyncSkip.objects.exists()


@pytest.mark.parametrize(
    "scaikey_id", ["..", ".", "usr/../../x", "usr_a%2fb", "usr?x=1", "usr_ä b"]
)
def test_success_id_that_does_not_fit_into_a_path_is_postponed(
    synced: Sandbox, scaikey_id: str
) -> None:
    tenant = Tenant.objects.order_by("slug")[0]
    row = make_person(tenant, "odd", scaikey_id=scaikey_id)

    report = sync()

    assert get_changed_counts(report) == {"participants": {"skipped": 1}}
    assert "its ID can't be part of a URL path" in report.warnings[0]
    assert Participant.objects.get(pk=row.pk).absent_since is None


@pytest.mark.parametrize(
    ("name", "value"), [("SCAIWAVE_SYNC_LOOKUP_LIMIT", "3"), ("SCAIWAVE_SYNC_LOOKUP_SECONDS", "0")]
)
def test_success_the_budget_postpones_the_rest(
    synced: Sandbox, settings: Settings, name: str, value: str
) -> None:
    for group in list_groups(synced):
        synced.directory.remove_group(group["id"])
    sync(allow_removals=10_000)
    for row in list_people(synced)[::30]:
        synced.directory.remove_user(row["id"])
    number = -(-250 // 30)
    settings.CONFIG = make_config(synced, **{name: value})
    confirmed = 3 if value == "3" else 0

    report = sync()

    assert report.outcome == "applied"
    expected = {"skipped": number - confirmed} | ({"deactivated": 3} if confirmed else {})
    assert get_changed_counts(report) == {"participants": expected}
    assert f"Postponed {number - confirmed} removals of participants" in report.warnings[0]
    assert "the look-up limit of this run is reached" in report.warnings[0]
    assert get_changed_counts(sync(allow_removals=number)) == {
        "participants": {"deactivated": number - confirmed}
    }


def test_success_people_of_a_removed_tenant_are_not_looked_up(synced: Sandbox) -> None:
    tenant = min(synced.directory.tenants, key=lambda key: len(list_people_of_tenant(synced, key)))
    people = list_people_of_tenant(synced, tenant)
    synced.directory.remove_tenant(tenant)
    requests = synced.requests.total
    empty = sync(dry_run=True, allow_removals=10_000)
    cost = synced.requests.total - requests

    report = sync(allow_removals=10_000)

    assert empty.losses["people"] == report.losses["people"] == len(people)
    assert get_changed_counts(report)["participants"] == {"deactivated": len(people)}
    assert cost < 60
    assert read_database() == read_directory(synced)


def test_fail_truncated_twice(synced: Sandbox) -> None:
    before = dump_rows()
    synced.faults.add("empty_page", path=USERS, query={"page": "3"})

    with pytest.raises(IncompleteListing) as caught:
        sync()

    assert caught.value.message == (
        "Incomplete list: ScaiKey reports 250 users but returned 200. No changes were made."
    )
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_TRUNCATED", 2)
    assert dump_rows() == before
    assert (get_last_run().outcome, get_last_run().error_code) == ("failed", "SW_SYNC_TRUNCATED")


def test_success_truncated_once(scaikey: Sandbox) -> None:
    scaikey.faults.add("empty_page", path=USERS, query={"page": "3"}, times=1)
    assert_synced(scaikey)


def test_success_group_vanishes_while_members_are_read(synced: Sandbox) -> None:
    group = list_groups(synced)[0]["id"]
    synced.faults.add("status", path=f"{ADMIN}/groups/{group}/members", status=404, times=1)

    report = assert_nothing_changes()

    assert report.warnings == [
        "1 group disappeared while the members were read; the next run checks again."
    ]
    assert sync().warnings == []


def test_success_group_vanishes_when_read_again(synced: Sandbox) -> None:
    group = list_groups(synced)[0]["id"]
    path = f"{ADMIN}/groups/{group}/members"
    age_rows()
    synced.faults.add("wrong_shape", path=path, times=1, body={"data": [], "total": 0})
    synced.faults.add("status", path=path, status=404, times=1)

    report = sync()

    members = GroupMembership.objects.filter(group__scaikey_id=group, absent_since=None).count()
    assert get_changed_counts(report) == {"memberships": {"skipped": members}}
    assert count_rewritten_rows() == {}
    assert f"Postponed {members} membership removals" in report.warnings[0]
    assert get_changed_counts(sync()) == {}


def test_success_members_seen_again(synced: Sandbox) -> None:
    synced.faults.add("wrong_shape", path=MEMBERS, times=1, body={"data": [], "total": 0})

    assert_nothing_changes()
