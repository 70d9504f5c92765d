"""A list that can't be read as a whole is read by tenant or partner, without unreadable ones."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from identity_sync.errors import SyncPartial
from identity_sync.models import SyncSkip
from scaiwave.core.errors import UpstreamError
from scaiwave.sandbox import Sandbox
from tenants.models import Group, Participant, Tenant
from tests.identity_sync.sync.fetch.test_faults import make_impatient_client
from tests.identity_sync.sync.fetch.test_unreadable import FAULTS
from tests.identity_sync.sync.helpers import (
    ADMIN,
    assert_partial,
    assert_synced,
    get_last_run,
    list_groups,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=3, tenants=6, people=150, groups=12, scim=False),
]

ATTEMPTS = 2
"""Those of the impatient client for one request."""
BROKEN = {"action": "status", "status": 500}


def break_list(sandbox: Sandbox, name: str, *owners: str, **fault: Any) -> None:
    """Let a list fail as a whole, and its parts for these tenants or partners."""
    path = f"{ADMIN}/{name}/"
    parameter = "partner_id" if name == "tenants" else "tenant_id"
    for owner in owners:
        sandbox.faults.add_json({"path": path, "query": {parameter: owner}, **fault})
    sandbox.faults.add_json({"path": path, "times": ATTEMPTS, **BROKEN})


def sync_partially(**options: Any) -> SyncPartial:
    caught = assert_partial(connect=make_impatient_client, **options)
    assert get_last_run().outcome == "partial"
    return caught


def list_active(tenant: str) -> set[str | None]:
    people = Participant.objects.filter(tenant__scaikey_tenant_id=tenant, absent_since=None)
    return set(people.values_list("scaikey_id", flat=True))


@pytest.mark.parametrize("name", FAULTS)
def test_success_the_people_of_one_tenant_keep_their_access(synced: Sandbox, name: str) -> None:
    broken, other, *_ = synced.directory.tenants
    before = list_active(broken)
    for tenant in (broken, other):
        synced.directory.remove_user(list_people_of_tenant(synced, tenant)[0]["id"])
    added = synced.directory.add_user(other, display_name="New")
    break_list(synced, "users", broken, **FAULTS[name])

    error = sync_partially()

    slug = Tenant.objects.get(scaikey_tenant_id=broken).slug
    assert (error.code, error.exit_code) == ("SW_SYNC_PARTIAL", 1)
    assert "Skipped 1 list that ScaiKey does not return: people of " in error.message
    assert f" in {slug} (" in error.message
    assert list_active(broken) == before
    assert list_active(other) == {row["id"] for row in list_people_of_tenant(synced, other)}
    assert added in list_active(other)
    assert error.report.losses["people"] == 1
    skip = SyncSkip.objects.get(kind="tenants")
    assert (skip.subject_scaikey_id, skip.tenant) == (
        f"{broken} participants",
        Tenant.objects.get(scaikey_tenant_id=broken),
    )

    synced.faults.clear()
    assert sync().outcome == "applied"
    assert read_database() == read_directory(synced)
    assert not SyncSkip.objects.exists()


def test_success_the_groups_of_one_tenant_stay(synced: Sandbox) -> None:
    group = list_groups(synced)[0]
    row = Group.objects.get(scaikey_id=group["id"])
    other = Group.objects.exclude(tenant=row.tenant)[0]
    for each in (row, other):
        synced.directory.remove_group(str(each.scaikey_id))
    break_list(synced, "groups", str(row.tenant.scaikey_tenant_id), **BROKEN)
    assert f"groups of {row.tenant.name}" in sync_partially(allow_removals=10_000).message
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.absent_since is None, other.absent_since is None) == (True, False)
    synced.faults.clear()
    assert_synced(synced, allow_removals=10_000)


def test_success_the_tenants_of_one_partner_stay(synced: Sandbox) -> None:
    tenants = Tenant.objects.exclude(scaikey_tenant_id=None).select_related("partner")
    kept = tenants.exclude(partner=None)[0]
    assert kept.partner is not None
    person = list_people_of_tenant(synced, str(kept.scaikey_tenant_id))[0]["id"]
    lost = tenants.exclude(partner=kept.partner).exclude(partner=None)[0]
    for tenant in (kept, lost):
        synced.directory.remove_tenant(str(tenant.scaikey_tenant_id))
    break_list(synced, "tenants", str(kept.partner.scaikey_id), **BROKEN)
    error = sync_partially(allow_removals=10_000)
    assert f"tenants of {kept.partner.name}" in error.message
    kept.refresh_from_db()
    lost.refresh_from_db()
    assert (kept.absent_since is None, lost.absent_since is None) == (True, False)
    assert Participant.objects.get(scaikey_id=person).absent_since is None


@pytest.mark.parametrize("name", ["users", "groups"])
def test_success_a_suspended_tenant_with_an_unreadable_list_is_suspended(
    synced: Sandbox, name: str
) -> None:
    broken = next(iter(synced.directory.tenants))
    synced.directory.update_tenant(broken, status="SUSPENDED")
    break_list(synced, name, broken, **BROKEN)
    sync_partially()
    assert Tenant.objects.get(scaikey_tenant_id=broken).scaikey_status == "SUSPENDED"


def test_success_a_tenant_without_removals_keeps_its_access_also_then(synced: Sandbox) -> None:
    broken = next(iter(synced.directory.tenants))
    Tenant.objects.filter(scaikey_tenant_id=broken).update(sync_removals=False)
    synced.directory.update_tenant(broken, status="SUSPENDED")
    break_list(synced, "users", broken, **BROKEN)
    sync_partially()
    assert Tenant.objects.get(scaikey_tenant_id=broken).scaikey_status == "ACTIVE"


def test_success_a_person_who_moved_out_of_an_unreadable_tenant(synced: Sandbox) -> None:
    broken, other, *_ = synced.directory.tenants
    person = list_people_of_tenant(synced, broken)[0]["id"]
    synced.directory.move_user(person, other)
    break_list(synced, "users", broken, **BROKEN)
    sync_partially()
    # Access is kept in the old tenant, and a person is present once.
    assert person in list_active(broken)
    assert person not in list_active(other)
    synced.faults.clear()
    assert_synced(synced)


def test_success_a_person_who_moved_into_an_unreadable_tenant(synced: Sandbox) -> None:
    """Their own record proves it."""
    other, broken, *_ = synced.directory.tenants
    person = list_people_of_tenant(synced, other)[0]["id"]
    synced.directory.move_user(person, broken)
    break_list(synced, "users", broken, **BROKEN)
    sync_partially()
    assert (person in list_active(broken)) != (person in list_active(other))
    synced.faults.clear()
    assert_synced(synced)


def test_success_a_first_sync_without_the_people_of_a_tenant(scaikey: Sandbox) -> None:
    broken = next(iter(scaikey.directory.tenants))
    break_list(scaikey, "users", broken, **BROKEN)
    sync_partially()
    assert list_active(broken) == set()
    assert Participant.objects.exists()
    scaikey.faults.clear()
    assert_synced(scaikey)


def test_success_since_when_and_how_often(scaikey: Sandbox) -> None:
    broken = next(iter(scaikey.directory.tenants))
    break_list(scaikey, "users", broken, **BROKEN)
    assert "runs since" not in sync_partially().message
    scaikey.faults.clear()
    break_list(scaikey, "users", broken, **BROKEN)
    assert f"; 2 runs since {timezone.now():%Y-%m-%d}" in sync_partially().message


def test_success_a_list_that_is_only_unreadable_as_a_whole(scaikey: Sandbox) -> None:
    break_list(scaikey, "users")
    break_list(scaikey, "groups")
    break_list(scaikey, "tenants")
    report = sync(connect=make_impatient_client)
    assert report.outcome == "applied"
    whole = [each for each in report.warnings if "the whole list of" in each]
    assert len(whole) == 3
    assert "list of users, so it was read tenant by tenant: ScaiKey " in " ".join(whole)
    assert read_database() == read_directory(scaikey)


@pytest.mark.parametrize("number", [3, 6])
def test_fail_more_than_two_and_the_share(synced: Sandbox, number: int) -> None:
    before = read_database()
    break_list(synced, "users", *list(synced.directory.tenants)[:number], **BROKEN)
    with pytest.raises(UpstreamError, match="500"):
        sync(connect=make_impatient_client)
    assert get_last_run().outcome == "failed"
    assert read_database() == before


@pytest.mark.sandbox(partners=1, tenants=2, people=20, groups=1, scim=False)
def test_fail_every_part(scaikey: Sandbox) -> None:
    break_list(scaikey, "users", *scaikey.directory.tenants, **BROKEN)
    with pytest.raises(UpstreamError, match="500"):
        sync(connect=make_impatient_client)


def test_fail_the_only_tenant_of_a_run(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    break_list(synced, "users", tenant, **BROKEN)
    with pytest.raises(UpstreamError, match="500"):
        sync(connect=make_impatient_client, tenant=tenant)
