"""A run for single records: what it reads, what it proves, what it leaves to a full sync."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from identity_sync.errors import SyncPartial
from identity_sync.models import SyncRun, SyncSkip, Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.fetch.announced import AnnouncedRecords
from identity_sync.sync.fetch.lists import Record
from scaiwave.core.sql import fetch
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership, Participant, Tenant
from tests.identity_sync.sync.fetch.test_scope import list_tenants_of_partner, use_application
from tests.identity_sync.sync.helpers import (
    assert_synced,
    get_changed_counts,
    get_changes,
    get_last_run,
    get_tenant_id,
    list_groups,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)

pytestmark = [pytest.mark.django_db, pytest.mark.sandbox(people=40, tenants=4, groups=8)]


def sync_records(
    *pairs: Record, targets: AnnouncedRecords | None = None, **options: object
) -> SyncReport:
    chosen = targets or AnnouncedRecords.from_pairs(pairs)
    return sync(announced=chosen, trigger=Trigger.WEBHOOK, **options)


def group_with_people(sandbox: Sandbox) -> tuple[str, str]:
    """A group, and a person in it."""
    people = {row["id"] for row in list_people(sandbox)}
    edges = sorted(read_directory(sandbox)["edges"])
    return next((group, member) for group, member in edges if member in people)


def test_success_a_suspended_person(synced: Sandbox) -> None:
    person = list_people(synced)[0]["id"]
    synced.directory.suspend_user(person)
    report = sync_records(("participants", person))
    assert get_changed_counts(report) == {"participants": {"updated": 1}}
    assert Participant.objects.get(scaikey_id=person).scaikey_status == "SUSPENDED"
    assert read_database() == read_directory(synced)
    assert get_last_run().trigger == "webhook"


def test_success_a_removed_person_leaves_the_groups(synced: Sandbox) -> None:
    _, person = group_with_people(synced)
    synced.directory.remove_user(person)
    sync_records(("participants", person))
    assert read_database() == read_directory(synced)
    assert not GroupMembership.objects.filter(
        member_participant__scaikey_id=person, absent_since=None
    ).exists()
    assert get_changed_counts(sync()) == {}


@pytest.mark.only_on("postgresql")
def test_success_claims_without_a_look_up_have_statistics(synced: Sandbox) -> None:
    """The plan is made of them. PostgreSQL would read all groups once for each of them."""
    _, person = group_with_people(synced)
    synced.directory.remove_user(person)
    sizes: list[tuple[int, int]] = []
    count = "(SELECT count(*) FROM loss_claims)"
    sql = f"SELECT reltuples, {count} FROM pg_class WHERE oid = 'pg_temp.loss_claims'::regclass"
    sync_records(("participants", person), on_planned=lambda: sizes.extend(fetch(sql)))
    [(known, number)] = sizes
    assert known == number > 1


def test_success_deletion_event_of_an_existing_person(synced: Sandbox) -> None:
    synced.requests.reset()
    report = sync_records(("participants", list_people(synced)[0]["id"]))
    assert get_changed_counts(report) == {}
    assert get_changes() == []
    # The token, its endpoints, the person and their tenant; no list.
    assert synced.requests.count("/api/v1/admin/*/") == 0
    assert synced.requests.total <= 4


def test_success_deletion_event_of_an_unknown_person(synced: Sandbox) -> None:
    assert (
        get_changed_counts(sync_records(("participants", "usr_unknown"), ("groups", "grp_none")))
        == {}
    )
    assert read_database() == read_directory(synced)


def test_success_a_new_person_and_their_new_group(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    person = synced.directory.add_user(tenant)
    group = synced.directory.add_group(tenant, name="New")
    synced.directory.add_member(group, user_id=person)
    sync_records(("groups", group))  # the event of the person is late
    assert read_database() == read_directory(synced)
    assert get_changed_counts(sync_records(("participants", person))) == {}


def test_success_a_member_who_left(synced: Sandbox) -> None:
    group, person = group_with_people(synced)
    synced.directory.remove_member(group, user_id=person)
    assert get_changed_counts(sync_records(("groups", group))) == {
        "memberships": {"deactivated": 1}
    }
    assert read_database() == read_directory(synced)


@pytest.mark.parametrize("kind", ["people", "groups"])
def test_success_someone_who_returns_to_their_groups(scaikey: Sandbox, kind: str) -> None:
    if kind == "groups":
        target = list_groups(scaikey)[0]
        parent = scaikey.directory.add_group(target["tenant_id"], name="Parent")
        scaikey.directory.add_member(parent, member_group_id=target["id"])
        record, path = ("groups", target["id"]), f"/api/v1/admin/groups/{target['id']}"
    else:
        _, person = group_with_people(scaikey)
        record, path = ("participants", person), f"/api/v1/admin/users/{person}"
    sync()
    before = read_database()
    # ScaiKey denies the record for a while, and its groups never change.
    scaikey.faults.add("status", path=path, status=404, body={"detail": "Not found"})
    sync_records(record)
    assert read_database() != before
    scaikey.faults.clear()
    sync_records(record)
    assert read_database() == before == read_directory(scaikey)


def test_success_a_moved_person(synced: Sandbox) -> None:
    _, person = group_with_people(synced)
    old = next(get_tenant_id(row) for row in list_people(synced) if row["id"] == person)
    other = next(key for key in synced.directory.tenants if key != old)
    synced.directory.move_user(person, other)
    sync_records(("participants", person))
    assert read_database() == read_directory(synced)
    assert get_changed_counts(sync()) == {}


def test_success_a_removed_group_and_the_groups_it_was_in(scaikey: Sandbox) -> None:
    groups = list_groups(scaikey)
    child = groups[0]
    parent = scaikey.directory.add_group(child["tenant_id"], name="Parent")
    scaikey.directory.add_member(parent, member_group_id=child["id"])
    sync()
    scaikey.directory.remove_group(child["id"])
    sync_records(("groups", child["id"]))
    assert read_database() == read_directory(scaikey)


def test_success_swapped_slugs_in_either_order(synced: Sandbox) -> None:
    one, two, *_ = synced.directory.tenants
    slugs = [synced.directory.tenants[key]["slug"] for key in (one, two)]
    synced.directory.update_tenant(one, slug="in-between")
    synced.directory.update_tenant(two, slug=slugs[0])
    synced.directory.update_tenant(one, slug=slugs[1])
    sync_records(("tenants", one))
    assert read_database() == read_directory(synced)


def test_success_a_removed_tenant_with_its_people(synced: Sandbox) -> None:
    tenant = min(
        synced.directory.tenants,
        key=lambda key: sum(get_tenant_id(row) == key for row in list_people(synced)),
    )
    synced.directory.remove_tenant(tenant)
    sync_records(("tenants", tenant), allow_removals=1000)
    assert read_database() == read_directory(synced)
    assert not Participant.objects.filter(
        tenant__scaikey_tenant_id=tenant, absent_since=None
    ).exists()
    assert get_changed_counts(sync(allow_removals=1000)) == {}


def test_success_a_removed_partner_with_its_tenants(synced: Sandbox) -> None:
    partner = next(iter(synced.directory.partners))
    synced.directory.remove_partner(partner)
    sync_records(("partners", partner), allow_removals=1000, allow_no_super_admin=True)
    assert read_database() == read_directory(synced)


def test_success_a_new_tenant_is_named_as_new(synced: Sandbox) -> None:
    partner = synced.directory.add_partner(name="New partner", slug="new-partner")
    tenant = synced.directory.add_tenant(name="New", slug="new", partner_id=partner, people=3)
    targets = AnnouncedRecords.from_pairs([("tenants", tenant)])
    report = sync_records(targets=targets)
    assert report.new_tenants == {tenant}
    here = Tenant.objects.get(scaikey_tenant_id=tenant)
    assert here.partner is not None
    assert here.partner.scaikey_id == partner


def test_success_credentials_of_a_partner(scaikey: Sandbox, settings: Settings) -> None:
    """They read their own partner with its tenants, and leave out the others."""
    own, other = list(scaikey.directory.partners)[:2]
    use_application(scaikey, settings, "PARTNER", own)
    tenant, foreign = (list_tenants_of_partner(scaikey, key)[0] for key in (own, other))
    people = [row["id"] for row in list_people_of_tenant(scaikey, tenant)[:2]]
    stranger = list_people_of_tenant(scaikey, foreign)[0]["id"]
    records = [("partners", other), *(("participants", key) for key in (*people, stranger))]
    report = sync_records(*records)
    assert (report.new_tenants, report.undecided) == ({tenant}, {})
    here = Participant.objects.values_list("scaikey_id", "tenant__partner__scaikey_id")
    assert set(here) == {(key, own) for key in people}
    scaikey.directory.remove_user(people[0])
    assert get_changed_counts(sync_records(*records)) == {"participants": {"deactivated": 1}}


def test_success_other_skipped_rows_stay_skipped(synced: Sandbox) -> None:
    person = list_people(synced)[0]["id"]
    synced.directory.remove_user(person)
    synced.faults.add("status", path=f"/api/v1/admin/users/{person}", status=403)
    sync()
    assert SyncSkip.objects.count() == 1
    sync_records(("participants", list_people(synced)[1]["id"]))
    assert SyncSkip.objects.get().runs == 1


def test_success_inconclusive_look_ups_are_named(synced: Sandbox) -> None:
    one, two = (row["id"] for row in list_people(synced)[:2])
    synced.directory.remove_user(one)
    synced.directory.suspend_user(two)
    synced.faults.add("status", path=f"/api/v1/admin/users/{one}", status=403)
    targets = AnnouncedRecords.from_pairs([("participants", one), ("participants", two)])
    report = sync_records(targets=targets)
    assert set(report.undecided) == {("participants", one)}
    assert Participant.objects.get(scaikey_id=one).absent_since is None
    assert Participant.objects.get(scaikey_id=two).scaikey_status == "SUSPENDED"


def remove_people(sandbox: Sandbox, number: int) -> Iterable[str]:
    for row in list_people(sandbox)[:number]:
        sandbox.directory.remove_user(row["id"])
        yield row["id"]


def test_fail_one_run_over_the_removal_limit(synced: Sandbox) -> None:
    targets = AnnouncedRecords.from_pairs(
        [("participants", key) for key in remove_people(synced, 22)]
    )
    with pytest.raises(SyncPartial):
        sync_records(targets=targets)
    assert Participant.objects.filter(absent_since=None).count() == 20


def sync_one_by_one(keys: Iterable[str]) -> None:
    for key in keys:
        sync_records(("participants", key))


def test_fail_small_runs_that_are_together_over_the_removal_limit(synced: Sandbox) -> None:
    gone = list(remove_people(synced, 25))
    with pytest.raises(SyncPartial):
        sync_one_by_one(gone)
    assert Participant.objects.filter(absent_since=None).count() >= 20
    assert_synced(synced, allow_removals=1000)
    # A day later there is room again.
    SyncRun.objects.update(started_at=datetime.now(UTC) - timedelta(hours=25))
    person = list_people(synced)[0]["id"]
    synced.directory.remove_user(person)
    sync_records(("participants", person))
    assert read_database() == read_directory(synced)


def test_success_runs_of_webhooks_do_not_count_as_full_syncs(synced: Sandbox) -> None:
    sync_records(("participants", list_people(synced)[0]["id"]))
    assert SyncRun.objects.count() == 2
    assert SyncRun.objects.full().count() == 1
