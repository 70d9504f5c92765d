"""What belongs to ScaiKey follows it, and nothing else is touched, whatever a run changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scaiwave.sandbox import Sandbox
from tenants.lookup.resolve import resolve_participant
from tenants.models import Participant, RoleGrant, Tenant
from tenants.people.suspension import resume_participant, suspend_participant
from tenants.roles.grants import grant_role
from tests.identity_sync.sync.helpers import (
    HOST,
    LONG_AGO,
    count_duplicate_names,
    get_changed_counts,
    get_changes,
    list_people_of_tenant,
    pick_two_people,
    read_database,
    read_directory,
    restore_user,
    sync,
)
from tests.tenants.factories import make_person, make_tenant

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=30, groups=4),
]


def get_person(scaikey_id: str) -> Participant:
    return Participant.objects.get(scaikey_id=scaikey_id, absent_since=None)


def rename(scaikey: Sandbox, person: str) -> None:
    scaikey.directory.update_user(person, display_name="Renamed")


def suspend(scaikey: Sandbox, person: str) -> None:
    scaikey.directory.suspend_user(person)


def remove(scaikey: Sandbox, person: str) -> None:
    scaikey.directory.remove_user(person)


def move(scaikey: Sandbox, person: str) -> None:
    *_, last = scaikey.directory.tenants
    scaikey.directory.move_user(person, last)


CHANGES = (rename, suspend, remove, move)
Change = Callable[[Sandbox, str], None]


@pytest.mark.parametrize("participant_type", ["model", "agent", "helper", "bridge", "federated"])
@pytest.mark.parametrize("change", CHANGES)
def test_success_a_participant_that_is_not_a_person(
    synced: Sandbox, change: Change, participant_type: str
) -> None:
    """Even with the ScaiKey ID of a person who changes."""
    anna, bert = pick_two_people(synced)
    Participant.objects.filter(scaikey_id=anna).update(participant_type=participant_type)
    make_person(
        get_person(bert).tenant, "other", participant_type=participant_type, scaikey_id="usr_other"
    )
    others = Participant.objects.exclude(participant_type="human").order_by("pk")
    before = list(others.values_list())
    synced.directory.set_roles(anna, ["editors"])
    change(synced, anna)
    change(synced, bert)

    report = sync()

    assert report.outcome == "applied"
    assert list(others.values_list()) == before
    assert not RoleGrant.objects.exists()
    assert get_changed_counts(sync()) == {}


@pytest.mark.parametrize("change", CHANGES)
def test_success_a_person_of_a_tenant_without_a_scaikey_id(synced: Sandbox, change: Change) -> None:
    anna, _ = pick_two_people(synced)
    local = make_tenant("lab", scaikey_tenant_id=None)
    make_person(local, "anna", scaikey_id="usr_lab")
    tenants = Tenant.objects.filter(pk=local.pk)
    people = Participant.objects.filter(tenant=local).order_by("pk")
    before = [*tenants.values_list(), *people.values_list()]
    change(synced, anna)
    synced.directory.update_tenant(next(iter(synced.directory.tenants)), name="Renamed")

    sync()

    assert [*tenants.values_list(), *people.values_list()] == before


@pytest.mark.parametrize("change", CHANGES)
def test_success_a_manual_grant(synced: Sandbox, change: Change) -> None:
    anna, _ = pick_two_people(synced)
    holder = get_person(anna)
    grant_role(
        operator=HOST,
        role="tenant_admin",
        tenant=holder.tenant.slug,
        holder=anna,
        is_group=False,
        now=LONG_AGO,
    )
    before = list(RoleGrant.objects.values_list())
    synced.directory.set_roles(anna, [])
    change(synced, anna)

    sync()

    assert list(RoleGrant.objects.values_list()) == before


@pytest.mark.parametrize("change", CHANGES)
def test_success_a_manual_suspension(synced: Sandbox, change: Change) -> None:
    anna, _ = pick_two_people(synced)
    person = get_person(anna)
    suspend_participant(
        operator=HOST, name=anna, reason="", confirm=lambda question: None, now=LONG_AGO
    )
    assert get_changed_counts(sync()) == {}
    change(synced, anna)

    sync()

    assert read_database() == read_directory(synced)
    person.refresh_from_db()
    assert person.suspended_by_hand_at == LONG_AGO
    assert (person.inactive_reason or "").startswith("suspended manually")
    if change in (remove, move):
        restore_user(synced, anna, str(person.tenant.scaikey_tenant_id))
        sync()
        person.refresh_from_db()
        assert (person.absent_since, person.suspended_by_hand_at) == (None, LONG_AGO)
    resume_participant(operator=HOST, name=str(person.pk), reason="", now=LONG_AGO)
    person.refresh_from_db()
    assert person.is_active is (change is not suspend)


def test_success_a_tenant_moves_to_another_partner_and_back(synced: Sandbox) -> None:
    row = next(iter(synced.directory.tenants.values()))
    source = row["partner_id"]
    target = next(key for key in synced.directory.partners if key != source)
    tenant = Tenant.objects.get(scaikey_tenant_id=row["id"])
    people = set(Participant.objects.filter(tenant=tenant).values_list("pk", "absent_since"))
    for partner in (target, source):
        synced.directory.update_tenant(row["id"], partner_id=partner)
        assert get_changed_counts(sync()) == {"tenants": {"updated": 1}}
        changes = [change for change in get_changes() if change[0] == "tenants"]
        assert changes == [("tenants", "update", tenant.name, "partner", "changed in ScaiKey")]
        tenant.refresh_from_db()
        assert tenant.partner is not None
        assert tenant.partner.scaikey_id == partner
        assert read_database() == read_directory(synced)
    assert (
        set(Participant.objects.filter(tenant=tenant).values_list("pk", "absent_since")) == people
    )


def test_success_two_tenants_swap_slugs_and_partners(synced: Sandbox) -> None:
    first, second, *_ = synced.directory.tenants.values()
    keys = ("slug", "partner_id")
    old_first, old_second = ({key: row[key] for key in keys} for row in (first, second))
    synced.directory.update_tenant(first["id"], slug="in-between")
    synced.directory.update_tenant(second["id"], **old_first)
    synced.directory.update_tenant(first["id"], **old_second)
    ids = {tenant.scaikey_tenant_id: tenant.pk for tenant in Tenant.objects.all()}

    assert get_changed_counts(sync()) == {"tenants": {"updated": 2}}

    assert read_database() == read_directory(synced)
    assert {tenant.scaikey_tenant_id: tenant.pk for tenant in Tenant.objects.all()} == ids
    assert Tenant.objects.get(slug=old_first["slug"]).scaikey_tenant_id == second["id"]
    assert get_changed_counts(sync()) == {}


def test_success_two_people_swap_tenants(synced: Sandbox) -> None:
    first, second, *_ = synced.directory.tenants
    anna, bert = (list_people_of_tenant(synced, key)[0]["id"] for key in (first, second))
    old = {get_person(anna).pk, get_person(bert).pk}
    synced.directory.move_user(anna, second)
    synced.directory.move_user(bert, first)

    report = sync()

    assert get_changed_counts(report)["participants"] == {"added": 2, "deactivated": 2}
    assert read_database() == read_directory(synced)
    assert not old & {get_person(anna).pk, get_person(bert).pk}
    assert count_duplicate_names() == 0
    synced.directory.move_user(anna, first)
    synced.directory.move_user(bert, second)
    sync()
    assert {get_person(anna).pk, get_person(bert).pk} == old
    assert get_changed_counts(sync()) == {}


def test_success_two_people_swap_e_mail_addresses(synced: Sandbox) -> None:
    anna, bert = pick_two_people(synced)
    before = {key: get_person(key) for key in (anna, bert)}
    synced.directory.update_user(anna, email="in-between@example.org")
    synced.directory.update_user(bert, email=before[anna].email)
    synced.directory.update_user(anna, email=before[bert].email)

    report = sync()

    assert get_changed_counts(report) == {"participants": {"updated": 2}}
    assert {change[3] for change in get_changes()} == {"email"}
    assert read_database() == read_directory(synced)
    for key, other in ((anna, bert), (bert, anna)):
        after = get_person(key)
        assert (after.pk, after.local_id) == (before[key].pk, before[key].local_id)
        assert after.display_name == before[key].display_name
        assert resolve_participant(HOST, before[other].email) == after
    assert get_changed_counts(sync()) == {}


def test_success_an_e_mail_address_changes_in_case_only(synced: Sandbox) -> None:
    anna, _ = pick_two_people(synced)
    before = get_person(anna)
    synced.directory.update_user(anna, email=before.email.upper())

    assert get_changed_counts(sync()) == {"participants": {"updated": 1}}

    after = get_person(anna)
    assert (after.pk, after.local_id) == (before.pk, before.local_id)
    assert after.email == before.email.upper() != before.email
    assert get_changes()[0][3:] == ("email", "changed in ScaiKey")
    assert resolve_participant(HOST, before.email) == after
    assert get_changed_counts(sync()) == {}


def test_success_a_person_returns_with_other_values(synced: Sandbox) -> None:
    anna, _ = pick_two_people(synced)
    before = get_person(anna)
    synced.directory.remove_user(anna)
    sync()
    restore_user(synced, anna, str(before.tenant.scaikey_tenant_id))
    values: dict[str, Any] = {"display_name": "Renamed", "email": "renamed@example.org"}
    synced.directory.update_user(anna, **values)

    report = sync()

    assert get_changed_counts(report)["participants"] == {"restored": 1}
    after = get_person(anna)
    assert (after.pk, after.local_id, after.is_active) == (before.pk, before.local_id, True)
    assert (after.display_name, after.email) == ("Renamed", "renamed@example.org")
    assert read_database() == read_directory(synced)
