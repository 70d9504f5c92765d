"""Groups whose members ScaiKey does not return are skipped alone; everything else is synced."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from identity_sync.errors import ListsUnreadable, SyncPartial
from identity_sync.models import SyncSkip
from identity_sync.reasons import Reason
from identity_sync.reports.loss_kinds import find_losses
from identity_sync.reports.runs import get_stored_values
from identity_sync.sync.fetch.announced import AnnouncedRecords
from scaiwave.clients.scaikey import client as scaikey_client
from scaiwave.core.errors import UpstreamForbidden
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Tenant
from tests.identity_sync.sync.fetch.test_faults import make_impatient_client
from tests.identity_sync.sync.helpers import (
    ADMIN,
    assert_partial,
    get_last_run,
    list_groups,
    list_people,
    read_database,
    read_directory,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=30, scim=False),
]

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"action": "status", "status": 500},
    "403": {"action": "status", "status": 403},
    "400": {"action": "status", "status": 400},
    "HTML": {"action": "not_json"},
    "another shape": {"action": "wrong_shape"},
    "error with no rows": {"action": "wrong_shape", "body": {"data": [], "error": "timeout"}},
    "errors with no rows": {"action": "wrong_shape", "body": {"items": [], "errors": [{"n": 1}]}},
    "hang": {"action": "hang", "seconds": 2.0},
    "cut": {"action": "cut"},
    "closed": {"action": "drop"},
}


def break_groups(sandbox: Sandbox, number: int = 1, **fault: Any) -> list[str]:
    """Let requests for the members of some groups fail, and return the IDs of the groups."""
    groups = [group["id"] for group in list_groups(sandbox)[:number]]
    for group_id in groups:
        sandbox.faults.add_json({"path": f"{ADMIN}/groups/{group_id}/members", **fault})
    return groups


def sync_partially(**options: Any) -> SyncPartial:
    caught = assert_partial(connect=make_impatient_client, **options)
    assert get_last_run().outcome == ("planned" if options.get("dry_run") else "partial")
    return caught


def count_active(group_id: str) -> int:
    edges = GroupMembership.objects.filter(group__scaikey_id=group_id, absent_since=None)
    return edges.count()


@pytest.mark.parametrize("name", FAULTS)
def test_success_one_group_is_skipped_alone(synced: Sandbox, name: str) -> None:
    (group_id,) = break_groups(synced, **FAULTS[name])
    group = Group.objects.get(scaikey_id=group_id)
    members = count_active(group_id)
    removed = next(
        person["id"]
        for person in list_people(synced)
        if not GroupMembership.objects.filter(
            group=group, member_participant__scaikey_id=person["id"]
        ).exists()
    )
    synced.directory.remove_user(removed)

    error = sync_partially()

    assert (error.code, error.exit_code) == ("SW_SYNC_PARTIAL", 1)
    assert f"{group.name} in {group.tenant.slug} (" in error.message
    assert "Skipped 1 list that ScaiKey does not return: members of " in error.message
    assert count_active(group_id) == members
    assert Participant.objects.get(scaikey_id=removed).absent_since is not None
    assert error.report.kinds["memberships"].skipped == 1
    skip = SyncSkip.objects.get()
    assert (skip.kind, skip.subject_scaikey_id, skip.tenant) == (
        "memberships",
        group_id,
        group.tenant,
    )

    synced.faults.clear()
    assert sync().outcome == "applied"
    assert read_database() == read_directory(synced)
    assert not SyncSkip.objects.exists()


def test_success_since_when_and_how_often(scaikey: Sandbox) -> None:
    break_groups(scaikey, action="status", status=500)
    assert "runs since" not in sync_partially().message
    error = sync_partially()
    assert f"; 2 runs since {timezone.now():%Y-%m-%d}" in error.message
    assert SyncSkip.objects.get().runs == 2


def test_success_advice_for_a_403_of_one_group_names_no_scope(scaikey: Sandbox) -> None:
    break_groups(scaikey, action="status", status=403)
    error = sync_partially()
    assert "Report them to the operators of ScaiKey" in error.fix
    assert "groups:read" not in error.fix


@pytest.mark.parametrize("options", [{"removals": False}, {"dry_run": True}])
def test_success_other_kinds_of_runs(synced: Sandbox, options: dict[str, Any]) -> None:
    break_groups(synced, action="status", status=500)
    assert "Skipped 1 list" in sync_partially(**options).message


def test_success_the_sync_of_its_tenant(synced: Sandbox) -> None:
    (group_id,) = break_groups(synced, action="not_json")
    tenant = Group.objects.get(scaikey_id=group_id).tenant
    assert "Skipped 1 list" in sync_partially(tenant=tenant.slug).message


def test_success_a_removed_person_leaves_a_group_that_is_not_readable(synced: Sandbox) -> None:
    (group_id,) = break_groups(synced, action="status", status=500)
    edge = GroupMembership.objects.exclude(member_participant=None).filter(
        group__scaikey_id=group_id
    )
    person = edge.select_related("member_participant").first().member_participant  # type: ignore[union-attr]
    assert person is not None
    synced.directory.remove_user(str(person.scaikey_id))
    sync_partially()
    assert not edge.filter(member_participant=person, absent_since=None).exists()


@pytest.mark.sandbox(partners=1, tenants=1, people=10, groups=1, scim=False)
def test_success_the_only_group_is_not_readable_and_a_member_is_removed(synced: Sandbox) -> None:
    (group_id,) = break_groups(synced, action="status", status=500)
    edge = GroupMembership.objects.filter(group__scaikey_id=group_id).exclude(
        member_participant=None
    )[0]
    assert edge.member_participant is not None
    synced.directory.remove_user(str(edge.member_participant.scaikey_id))
    sync_partially()
    edge.refresh_from_db()
    assert edge.absent_since is not None


def test_success_a_new_group_is_added_without_members(scaikey: Sandbox) -> None:
    (group_id,) = break_groups(scaikey, action="status", status=500)
    sync_partially()
    assert Group.objects.filter(scaikey_id=group_id).exists()
    assert count_active(group_id) == 0


@pytest.mark.parametrize(
    "answer",
    ["readable", "unreadable", "unknown", "incomplete", "removals off", "tenant's removals off"],
)
def test_success_a_group_returns_without_the_members_who_have_left(
    synced: Sandbox, answer: str
) -> None:
    """Its role would be theirs again, whatever can be read of its members."""
    group = Group.objects.get(scaikey_id=list_groups(synced)[0]["id"])
    group_id = str(group.scaikey_id)
    groups = synced.directory.groups
    index = synced.directory.locate("group", group_id)[0]
    place = groups.roster.get_placement(index)
    groups.roster.move(index, None)
    synced.directory.clear_cache()
    sync()
    group.refresh_from_db()
    assert group.absent_since is not None
    edges = group.memberships.filter(absent_since=None).exclude(member_participant=None)
    left = edges.select_related("member_participant").first().member_participant  # type: ignore[union-attr]
    assert left is not None
    before = edges.count()
    groups.roster.move(index, place)
    synced.directory.remove_member(group_id, user_id=left.scaikey_id)
    synced.directory.clear_cache()
    path = f"{ADMIN}/groups/{group_id}/members"
    if answer == "unreadable":
        synced.faults.add("status", path=path, status=400)
        sync_partially()
    else:
        if answer == "unknown":
            synced.faults.add("status", path=path, status=404)
        if answer == "incomplete":
            synced.faults.add("total", path=path, total=10_000)
        if answer == "tenant's removals off":
            Tenant.objects.filter(id=group.tenant_id).update(sync_removals=False)
        sync(removals=answer != "removals off")
    run = get_last_run()
    assert run.losses == []
    for change in run.changes.all():
        assert list(find_losses(change, get_stored_values(change))) == []
    codes = run.changes.filter(action="deactivate").values_list("reason_code", flat=True)
    assert set(codes) == {Reason.NOT_RETURNED}
    assert Group.objects.get(id=group.id).absent_since is None
    assert not edges.filter(member_participant=left).exists()
    if answer in ("unreadable", "unknown"):
        assert not edges.exists()
    synced.faults.clear()
    Tenant.objects.update(sync_removals=True)
    sync()
    assert edges.count() == before - 1
    assert read_database() == read_directory(synced)


def test_fail_more_than_the_share(synced: Sandbox) -> None:
    break_groups(synced, 3, action="status", status=500)
    with pytest.raises(ListsUnreadable) as caught:
        sync(connect=make_impatient_client)
    assert (caught.value.exit_code, caught.value.code) == (2, "SW_SYNC_LISTS_UNREADABLE")
    assert "Groups whose members can't be read: 3 of 30. No changes were made." in (
        caught.value.message
    )
    assert get_last_run().outcome == "failed"


def test_success_two_are_never_too_many(scaikey: Sandbox) -> None:
    break_groups(scaikey, 2, action="status", status=500)
    assert "Skipped 2 lists" in sync_partially().message


def test_fail_a_missing_scope_is_an_error_of_the_credentials(scaikey: Sandbox) -> None:
    break_groups(scaikey, 30, action="status", status=403)
    with pytest.raises(UpstreamForbidden) as caught:
        sync(connect=make_impatient_client)
    assert caught.value.exit_code == 3
    assert "groups:read" in caught.value.fix


def test_success_a_webhook_for_such_a_group_is_tried_again(synced: Sandbox) -> None:
    (group_id,) = break_groups(synced, action="status", status=500)
    person = list_people(synced)[0]["id"]
    synced.directory.remove_user(person)
    targets = AnnouncedRecords.from_pairs([("groups", group_id), ("participants", person)])
    report = sync(announced=targets, connect=make_impatient_client)
    assert report.outcome == "applied"
    assert list(report.undecided) == [("groups", group_id)]
    assert Participant.objects.get(scaikey_id=person).absent_since is not None


def test_success_500_is_tried_again(scaikey: Sandbox) -> None:
    for path in ("tenants/", "users/", "groups/", "groups/*/members"):
        scaikey.faults.add("status", status=500, path=f"{ADMIN}/{path}", nth=1)
    assert sync().outcome == "applied"
    assert read_database() == read_directory(scaikey)


def test_success_after_slow_lists_others_get_one_attempt(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaikey_client, "MAX_SLOW_LISTS", 0)
    monkeypatch.setattr(scaikey_client, "HASTY_SECONDS", 0.2)
    break_groups(scaikey, action="hang", seconds=2.0)
    sync_partially()
    assert [rule.fired for rule in scaikey.faults.list_rules()] == [1]
