"""An unusable record is skipped and named, its row stays unchanged, and the others are synced."""

from __future__ import annotations

from typing import Any

import pytest

from identity_sync.errors import UnusableRecords
from identity_sync.models import SyncChange, SyncSkip
from scaiwave.sandbox import Sandbox
from tenants.models import Participant, Tenant
from tests.identity_sync.sync.helpers import (
    ADMIN,
    USERS,
    assert_partial,
    assert_synced,
    dump_rows,
    get_changed_counts,
    get_last_run,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=9),
]


def respond_with_people(scaikey: Sandbox, change: dict[str, dict[str, Any]]) -> None:
    """Make ScaiKey list everyone, with some fields changed by id."""
    rows = [{**row, **change.get(row["id"], {})} for row in list_people(scaikey)]
    scaikey.faults.add("wrong_shape", path=USERS, body={"data": rows, "total": len(rows)})


def test_fail_one_unusable_record_is_skipped(synced: Sandbox) -> None:
    bad, renamed = (row["id"] for row in list_people(synced)[:2])
    before = Participant.objects.get(scaikey_id=bad)
    respond_with_people(synced, {bad: {"email": ["?"]}, renamed: {"display_name": "Renamed"}})

    caught = assert_partial()

    assert caught.message == "Skipped 1 unusable record. Everything else was applied."
    assert (caught.code, caught.exit_code) == ("SW_SYNC_PARTIAL", 1)
    assert get_changed_counts(caught.report) == {"participants": {"updated": 1, "skipped": 1}}
    (warning,) = caught.report.warnings
    assert warning == (
        "Skipped 1 unusable record of participants; the local rows are unchanged: row 0 of page 1 "
        "of GET /api/v1/admin/users/ (expected `str | null`, got `array` at `email`)."
    )
    assert Participant.objects.get(scaikey_id=bad) == before
    assert Participant.objects.get(scaikey_id=bad).absent_since is None
    assert Participant.objects.get(scaikey_id=renamed).display_name == "Renamed"
    run = get_last_run()
    assert (run.outcome, run.warnings) == ("partial", [warning])
    change = SyncChange.objects.get(run=run, action="skipped")
    assert (change.subject_scaikey_id, change.reason) == (
        bad,
        "unusable record: expected `str | null`, got `array` at `email`",
    )
    assert_partial()
    skip = SyncSkip.objects.get()
    assert (skip.subject_scaikey_id, skip.runs, skip.is_postponed) == (bad, 2, False)
    assert not SyncChange.objects.filter(run=get_last_run(), action="skipped").exists()
    synced.faults.clear()
    assert_synced(synced)
    assert not SyncSkip.objects.exists()


def test_fail_a_record_without_an_id_is_confirmed_by_look_up(synced: Sandbox) -> None:
    """Without its id the person seems to be missing, and is looked up."""
    person = list_people(synced)[0]["id"]
    respond_with_people(synced, {person: {"id": None}})
    caught = assert_partial()
    assert "participants" not in get_changed_counts(caught.report)
    assert Participant.objects.get(scaikey_id=person).absent_since is None


def test_success_texts_are_cut_and_cleaned(scaikey: Sandbox) -> None:
    anna, bert, cleo = (row["id"] for row in list_people(scaikey)[:3])
    long = "N" * 5000
    respond_with_people(
        scaikey,
        {
            anna: {"display_name": long, "email": "e" * 2000, "status": "ACTIVE"},
            bert: {"display_name": "Eve\x00\x1b[31m\u0085", "status": "ACTIVE"},
            cleo: {"status": "S" * 900},
        },
    )
    assert sync().outcome == "applied"
    person = Participant.objects.get(scaikey_id=anna)
    assert (person.display_name, person.email) == (long[:300], "e" * 320)
    assert Participant.objects.get(scaikey_id=bert).display_name == "Eve[31m"
    assert not Participant.objects.get(scaikey_id=cleo).is_active


@pytest.mark.parametrize("kind", ["partners", "tenants"])
def test_success_long_names_of_few(scaikey: Sandbox, kind: str) -> None:
    rows = list(getattr(scaikey.directory, kind).values())
    changed = [{**row, "name": "N" * 4000, "contact_email": "c" * 4000} for row in rows]
    scaikey.faults.add(
        "wrong_shape", path=f"{ADMIN}/{kind}/", body={"data": changed, "total": len(rows)}
    )
    assert sync().outcome == "applied"


def test_success_a_slug_that_becomes_null_keeps_its_value(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants.values()))
    rows = [
        {**row, "slug": None if row["id"] == tenant["id"] else row["slug"]}
        for row in synced.directory.tenants.values()
    ]
    synced.faults.add("wrong_shape", path=f"{ADMIN}/tenants/", body={"data": rows, "total": 3})
    partners = [{**row, "slug": None} for row in synced.directory.partners.values()]
    synced.faults.add("wrong_shape", path=f"{ADMIN}/partners/", body={"data": partners, "total": 2})

    report = sync()

    assert get_changed_counts(report) == {}
    assert report.warnings == [
        f"ScaiKey sent no slug for tenant {tenant['id']}; it keeps its slug {tenant['slug']}."
    ]
    assert Tenant.objects.get(scaikey_tenant_id=tenant["id"]).slug == tenant["slug"]


@pytest.mark.sandbox(partners=1, tenants=2, people=600, groups=2)
@pytest.mark.parametrize(("number", "fails"), [(20, False), (21, True)])
def test_fail_too_many_unusable_records(synced: Sandbox, number: int, fails: bool) -> None:
    before = dump_rows()
    bad = {row["id"]: {"status": 5} for row in list_people(synced)[:number]}
    respond_with_people(synced, bad)
    if not fails:
        assert_partial()
        return
    with pytest.raises(UnusableRecords) as caught:
        sync()
    assert caught.value.message == (
        "Unusable records: 21 of ScaiKey's 600 participants, the first is row 0 of page 1 of GET "
        "/api/v1/admin/users/: expected `str | null`, got `int` at `status`. No changes were made."
    )
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_UNUSABLE_RECORDS", 2)
    assert dump_rows() == before


@pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=9, scim=False)
def test_fail_an_unusable_member_keeps_its_group_whole(synced: Sandbox) -> None:
    """The id of the member is unknown, so the group loses none."""
    tenant = next(iter(synced.directory.tenants))
    group = synced.directory.add_group(tenant, name="Crew")
    anna, bert = (row["id"] for row in list_people_of_tenant(synced, tenant)[:2])
    for person in (anna, bert):
        synced.directory.add_member(group, user_id=person)
    sync()
    path = f"{ADMIN}/groups/{group}/members"
    synced.faults.add(
        "wrong_shape", path=path, body={"data": [{"user_id": anna}, {"user_id": 5}], "total": 2}
    )
    caught = assert_partial()
    assert get_changed_counts(caught.report) == {"memberships": {"skipped": 1}}
    synced.faults.clear()
    assert get_changed_counts(sync()) == {}
    assert read_database() == read_directory(synced)
