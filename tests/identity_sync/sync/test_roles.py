"""Roles that ScaiKey's users carry, beside those that operators grant by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity_sync.services.sync import roles as role_plan
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING
from tenants.models import Participant, Role, RoleGrant, Tenant
from tenants.services.role_grants import grant_role, revoke_role
from tests.identity_sync.sync.directory import (
    HOST,
    LONG_AGO,
    USERS,
    age,
    changes,
    counts,
    last_run,
    people_of,
    recorded,
    rewritten,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=20, groups=2),
]


def held() -> set[tuple[str | None, str, str]]:
    """(ScaiKey id, slug, source) of every grant to a participant."""
    grants = RoleGrant.objects.all()
    return set(grants.values_list("participant__scaikey_id", "role__slug", "source"))


def two_of_one_tenant(scaikey: Sandbox) -> tuple[str, str]:
    one, two = (row["id"] for row in people_of(scaikey, next(iter(scaikey.directory.tenants)))[:2])
    return one, two


def by_hand(slug: str, person: str) -> None:
    participant = Participant.objects.get(scaikey_id=person)
    tenant = participant.tenant
    if slug != "tenant_admin":
        defaults = {"name": slug, "created_at": LONG_AGO}
        Role.objects.get_or_create(tenant=tenant, slug=slug, defaults=defaults)
    grant_role(
        operator=HOST, role=slug, tenant=tenant.slug, to=person, is_group=False, now=LONG_AGO
    )


def test_success_first_run_brings_them(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    scaikey.directory.set_roles(one, ["editors", "tenant_admin"])
    scaikey.directory.set_roles(two, ["Editors "])

    report = sync()

    assert held() == {
        (one, "editors", "scaikey"),
        (one, "tenant_admin", "scaikey"),
        (two, "editors", "scaikey"),
    }
    tenant = Tenant.objects.get(scaikey_tenant_id=next(iter(scaikey.directory.tenants)))
    assert set(Role.objects.values_list("tenant", "slug", "name", "is_built_in")) == {
        (tenant.pk, "editors", "editors", False),
        (tenant.pk, "tenant_admin", "Tenant administrator", True),
    }
    grant = RoleGrant.objects.select_related("participant").filter(role__slug="editors").first()
    assert grant is not None
    assert (grant.granted_by, grant.tenant) == ("ScaiKey", tenant)
    assert report.outcome == "applied"
    assert report.kinds["participants"].added == 20


def test_success_second_run_writes_nothing(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    scaikey.directory.set_roles(one, ["editors"])
    scaikey.directory.set_roles(two, [])
    sync()
    age()

    with recorded() as written:
        report = sync()

    assert counts(report) == {}
    assert set(written) == {"sw_sync_runs"}
    assert changes() == []


def test_success_given_and_taken_later(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    scaikey.directory.set_roles(one, ["editors"])
    sync()
    scaikey.directory.set_roles(one, ["auditors"])
    scaikey.directory.set_roles(two, ["editors"])
    scaikey.directory.update_user(two, display_name="Renamed")
    age()

    report = sync()

    assert held() == {(one, "auditors", "scaikey"), (two, "editors", "scaikey")}
    assert counts(report) == {"participants": {"updated": 2}}
    assert rewritten() == {"sw_participants": 2}
    assert {(name, fields) for _, _, name, fields, _ in changes()} == {
        (str(Participant.objects.get(scaikey_id=one)), "roles"),
        ("Renamed", "display_name,roles"),
    }
    scaikey.directory.set_roles(one, [])
    assert counts(sync()) == {"participants": {"updated": 1}}
    assert held() == {(two, "editors", "scaikey")}


def test_success_told_nothing_takes_nothing(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    for person in (one, two):
        scaikey.directory.set_roles(person, ["editors"])
    sync()
    scaikey.directory.set_roles(one, None)
    assert counts(sync()) == {}
    scaikey.directory.set_roles(two, None)
    assert counts(sync()) == {}
    assert held() == {(one, "editors", "scaikey"), (two, "editors", "scaikey")}


def test_success_by_hand_is_never_touched(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    sync()
    by_hand("editors", one)
    by_hand("tenant_admin", two)
    before = list(RoleGrant.objects.order_by("pk").values())
    scaikey.directory.set_roles(one, ["editors"])
    scaikey.directory.set_roles(two, [])

    assert counts(sync()) == {}

    assert list(RoleGrant.objects.order_by("pk").values()) == before
    assert held() == {(one, "editors", "manual"), (two, "tenant_admin", "manual")}


def test_success_granted_by_hand_while_the_run_writes(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned before, so the plan does not know of it."""
    one, two = two_of_one_tenant(scaikey)
    sync()
    for person in (one, two):
        scaikey.directory.set_roles(person, ["editors"])
    write = role_plan.apply

    def late(now: datetime) -> None:
        by_hand("editors", one)
        write(now)

    monkeypatch.setattr(role_plan, "apply", late)

    sync()

    assert held() == {(one, "editors", "manual"), (two, "editors", "scaikey")}


def test_success_taken_over_by_hand_outlives_scaikeys(scaikey: Sandbox) -> None:
    one, _ = two_of_one_tenant(scaikey)
    scaikey.directory.set_roles(one, ["editors"])
    sync()
    by_hand("editors", one)
    scaikey.directory.set_roles(one, [])
    assert counts(sync()) == {}
    assert held() == {(one, "editors", "manual")}

    scaikey.directory.set_roles(one, ["editors"])
    sync()
    tenant = Tenant.objects.get(participants__scaikey_id=one)
    revoke_role(
        operator=HOST, role="editors", tenant=tenant.slug, of=one, is_group=False, now=LONG_AGO
    )
    sync()
    assert held() == {(one, "editors", "scaikey")}


def test_success_an_inconsistent_list_takes_what_the_look_up_confirms(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    scaikey.directory.set_roles(one, ["editors"])
    sync()
    scaikey.directory.set_roles(one, ["auditors"])
    scaikey.directory.set_roles(two, ["editors"])
    listed = [
        msgspec.json.decode(row) for row in scaikey.directory.list_users(EVERYTHING, 0, 100)[0]
    ]
    rows: dict[str, Any] = {"data": [*listed, listed[0]], "total": len(listed)}
    scaikey.faults.add("wrong_shape", path=USERS, query={"page": "1"}, body=rows)

    report = sync()

    assert len(report.warnings) == 1
    assert held() == {(one, "auditors", "scaikey"), (two, "editors", "scaikey")}


def test_success_who_leaves_keeps_them_for_the_return(scaikey: Sandbox) -> None:
    one, two = two_of_one_tenant(scaikey)
    scaikey.directory.set_roles(one, ["editors"])
    sync()
    place = scaikey.directory.people.ids.decode(one)
    assert place is not None
    tenant = next(iter(scaikey.directory.tenants))
    scaikey.directory.set_roles(two, ["editors"])
    scaikey.directory.remove_user(one)
    sync()
    assert (one, "editors", "scaikey") in held()
    scaikey.directory.people.roster.move(place, (tenant, "ACTIVE"))
    scaikey.directory.set_roles(one, ["auditors"])

    assert counts(sync()) == {"participants": {"restored": 1}}

    assert held() == {(one, "auditors", "scaikey"), (two, "editors", "scaikey")}
    assert [fields for _, action, _, fields, _ in changes() if action == "restore"] == ["roles"]


def test_success_mover_holds_them_in_the_new_tenant(scaikey: Sandbox) -> None:
    here, there = scaikey.directory.tenants
    one = people_of(scaikey, here)[0]["id"]
    scaikey.directory.set_roles(one, ["editors"])
    sync()
    scaikey.directory.move_user(one, there)
    sync()
    there_now = Participant.objects.get(scaikey_id=one, absent_since=None)
    assert there_now.tenant.scaikey_tenant_id == there
    assert [grant.role.slug for grant in there_now.role_grants.all()] == ["editors"]
    assert Role.objects.filter(slug="editors").count() == 2


def test_success_what_is_no_slug_is_left_out_and_said(scaikey: Sandbox) -> None:
    one, _ = two_of_one_tenant(scaikey)
    odd = ["Sales Team", "x", "a\nb", "編集者", "a b", "a  c", "editors", ""]
    scaikey.directory.set_roles(one, odd)

    report = sync()

    assert held() == {(one, "editors", "scaikey")}
    assert report.warnings == [
        "Roles whose names can't be slugs were not granted: "
        "'a\\nb', 'a  c', 'a b', 'sales team', 'x' and 1 more."
    ]
    assert last_run().warnings == report.warnings


def test_success_dry_run_says_and_writes_nothing(scaikey: Sandbox) -> None:
    one, _ = two_of_one_tenant(scaikey)
    sync()
    scaikey.directory.set_roles(one, ["editors"])

    report = sync(dry_run=True)

    assert counts(report) == {"participants": {"updated": 1}}
    assert held() == set()
    assert not Role.objects.exists()


def test_success_one_tenant_only(scaikey: Sandbox) -> None:
    here, there = scaikey.directory.tenants
    one, other = people_of(scaikey, here)[0]["id"], people_of(scaikey, there)[0]["id"]
    for person in (one, other):
        scaikey.directory.set_roles(person, ["editors"])
    sync()
    for person in (one, other):
        scaikey.directory.set_roles(person, [])
    sync(tenant=here)
    assert held() == {(other, "editors", "scaikey")}


def test_success_only_people_are_given_any(scaikey: Sandbox) -> None:
    one, _ = two_of_one_tenant(scaikey)
    sync()
    Participant.objects.filter(scaikey_id=one).update(participant_type="agent")
    scaikey.directory.set_roles(one, ["editors"])
    assert counts(sync()) == {}
    assert held() == set()


TOLD = st.none() | st.frozensets(st.sampled_from(["editors", "auditors", "tenant_admin"]))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.tuples(TOLD, TOLD), then=st.tuples(TOLD, TOLD), hand=st.sampled_from(["", "editors"])
)
def test_success_any_history(
    first: tuple[frozenset[str] | None, ...],
    then: tuple[frozenset[str] | None, ...],
    hand: str,
    scaikey: Sandbox,
) -> None:
    """Everybody holds what they were told to have last, and what they were given by hand."""
    people = two_of_one_tenant(scaikey)
    with transaction.atomic():
        for told in (first, then):
            for person, roles in zip(people, told, strict=True):
                scaikey.directory.set_roles(person, None if roles is None else sorted(roles))
            sync()
            if hand and told is first:
                by_hand(hand, people[0])
        expected = {(people[0], hand, "manual")} if hand else set()
        for person, before, after in zip(people, first, then, strict=True):
            own = {hand} if person == people[0] else set()
            last = (before if after is None else after) or frozenset()
            expected |= {(person, slug, "scaikey") for slug in last - own}
        assert held() == expected
        assert counts(sync()) == {}
        transaction.set_rollback(True)
