"""What is suspended manually stays suspended, whatever a run changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scaiwave.sandbox import Sandbox
from tenants.accounts.callers import is_suspended_manually
from tenants.models import Participant, Partner, Tenant
from tenants.people.suspension import (
    resume_participant,
    resume_tenant,
    suspend_participant,
    suspend_partner,
    suspend_tenant,
)
from tests.identity_sync.sync.helpers import (
    HOST,
    get_changed_counts,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=6, groups=0),
]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BY_HOST: dict[str, Any] = {
    "operator": HOST,
    "reason": "",
    "confirm": lambda question: None,
    "now": NOW,
}


def make_suspended_tenant() -> Tenant:
    sync()
    tenant = Tenant.objects.order_by("slug")[0]
    suspend_tenant(name=tenant.slug, **BY_HOST)
    return tenant


def test_success_a_tenant_that_scaikey_changes_stays_suspended(scaikey: Sandbox) -> None:
    tenant = make_suspended_tenant()
    assert tenant.scaikey_tenant_id is not None
    assert get_changed_counts(sync()) == {}

    scaikey.directory.update_tenant(tenant.scaikey_tenant_id, name="Renamed", status="ACTIVE")
    assert get_changed_counts(sync())["tenants"] == {"updated": 1}

    tenant.refresh_from_db()
    assert (tenant.name, tenant.suspended_by_hand_at) == ("Renamed", NOW)
    assert tenant.inactive_reason == "suspended manually"
    assert read_database() == read_directory(scaikey)


def test_success_a_status_set_during_the_suspension_applies_after_it(scaikey: Sandbox) -> None:
    tenant = make_suspended_tenant()
    assert tenant.scaikey_tenant_id is not None
    scaikey.directory.update_tenant(tenant.scaikey_tenant_id, status="SUSPENDED")
    sync()

    resume_tenant(operator=HOST, name=tenant.slug, reason="", now=NOW)

    tenant.refresh_from_db()
    assert tenant.inactive_reason == "suspended in ScaiKey"


def test_success_a_partner_that_scaikey_changes_stays_suspended(synced: Sandbox) -> None:
    partner = Partner.objects.get()
    assert partner.scaikey_id is not None
    suspend_partner(name=partner.slug, **BY_HOST)
    assert get_changed_counts(sync()) == {}

    synced.directory.update_partner(partner.scaikey_id, name="Renamed", status="ACTIVE")
    assert get_changed_counts(sync())["partners"] == {"updated": 1}

    partner.refresh_from_db()
    assert (partner.name, partner.suspended_by_hand_at) == ("Renamed", NOW)


def move_while_suspended(sandbox: Sandbox) -> tuple[str, list[str]]:
    """Suspend a person and move them to another tenant; return their ScaiKey ID and the tenants."""
    sync()
    tenants = [str(tenant.scaikey_tenant_id) for tenant in Tenant.objects.order_by("slug")]
    person = list_people_of_tenant(sandbox, tenants[0])[0]["id"]
    suspend_participant(name=person, **BY_HOST)
    sandbox.directory.move_user(person, tenants[1])
    sync(allow_removals=10)
    return person, tenants


def get_present_row(person: str) -> Participant:
    return Participant.objects.get(scaikey_id=person, absent_since=None)


def test_success_a_person_who_moves_to_another_tenant_stays_suspended(scaikey: Sandbox) -> None:
    person, tenants = move_while_suspended(scaikey)
    row = get_present_row(person)
    assert row.tenant.scaikey_tenant_id == tenants[1]
    assert row.suspended_by_hand_at == NOW
    assert is_suspended_manually(person)
    others = Participant.objects.exclude(scaikey_id=person)
    assert not others.exclude(suspended_by_hand_at=None).exists()
    assert get_changed_counts(sync()) == {}


def test_success_a_person_who_was_resumed_moves_without_the_suspension(scaikey: Sandbox) -> None:
    """The last tenant counts: an older row may still be suspended."""
    person, _ = move_while_suspended(scaikey)
    row = get_present_row(person)
    resume_participant(operator=HOST, name=str(row.pk), reason="", now=NOW)
    third = scaikey.directory.add_tenant(
        name="Third", slug="third", partner_id=next(iter(scaikey.directory.partners))
    )
    scaikey.directory.move_user(person, third)
    sync(allow_removals=10)
    assert get_present_row(person).tenant.slug == "third"
    assert get_present_row(person).suspended_by_hand_at is None


def test_success_a_person_who_returns_in_another_tenant_is_still_suspended(
    scaikey: Sandbox,
) -> None:
    person, tenants = move_while_suspended(scaikey)
    row = get_present_row(person)
    index = scaikey.directory.people.ids.decode(person)
    assert index is not None
    scaikey.directory.remove_user(person)
    sync(allow_removals=10)
    Participant.objects.filter(tenant__scaikey_tenant_id=tenants[0]).update(
        suspended_by_hand_at=None
    )
    scaikey.directory.people.roster.move(index, (tenants[0], "ACTIVE"))
    scaikey.directory.clear_cache()
    assert get_changed_counts(sync())["participants"] == {"restored": 1}
    assert get_present_row(person).pk != row.pk
    assert get_present_row(person).suspended_by_hand_at == NOW
