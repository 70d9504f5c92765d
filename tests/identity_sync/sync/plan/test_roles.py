"""Roles that ScaiKey reports for people, beside those that operators grant manually."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity_sync.models import Limit, PendingRemoval
from identity_sync.report import SyncReport
from identity_sync.sync.apply import write as role_plan
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING
from tenants.models import GroupMembership, Participant, Role, RoleGrant, Tenant
from tenants.roles.grants import grant_role, revoke_role
from tenants.roles.queries.super_admins import SuperAdmins, count_super_admins
from tests.identity_sync.removals.helpers import approve
from tests.identity_sync.sync.helpers import (
    HOST,
    LONG_AGO,
    USERS,
    age_rows,
    assert_partial,
    count_rewritten_rows,
    dump_rows,
    get_changed_counts,
    get_changes,
    get_last_run,
    list_people_of_tenant,
    pick_two_people,
    sync,
)
from tests.tenants.factories import run_command
from tests.tools import count_examples

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=20, groups=2),
]


def list_grants() -> set[tuple[str | None, str, str]]:
    """(ScaiKey id, slug, source) of every grant to a participant."""
    grants = RoleGrant.objects.all()
    return set(grants.values_list("participant__scaikey_id", "role__slug", "source"))


def grant_manually(slug: str, person: str) -> None:
    participant = Participant.objects.get(scaikey_id=person)
    tenant = participant.tenant
    if slug != "tenant_admin":
        defaults = {"name": slug, "created_at": LONG_AGO}
        Role.objects.get_or_create(tenant=tenant, slug=slug, defaults=defaults)
    grant_role(
        operator=HOST, role=slug, tenant=tenant.slug, holder=person, is_group=False, now=LONG_AGO
    )


def test_success_first_run_creates_grants(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors", "tenant_admin"])
    scaikey.directory.set_roles(bert, ["Editors "])

    report = sync()

    assert list_grants() == {
        (anna, "editors", "scaikey"),
        (anna, "tenant_admin", "scaikey"),
        (bert, "editors", "scaikey"),
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


def test_success_grants_follow_scaikey(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    scaikey.directory.set_roles(anna, ["auditors"])
    scaikey.directory.set_roles(bert, ["editors"])
    scaikey.directory.update_user(bert, display_name="Renamed")
    age_rows()

    report = sync()

    assert list_grants() == {(anna, "auditors", "scaikey"), (bert, "editors", "scaikey")}
    assert get_changed_counts(report) == {"participants": {"updated": 2}}
    assert count_rewritten_rows() == {"sw_participants": 2}
    assert {(name, fields) for _, _, name, fields, _ in get_changes()} == {
        (str(Participant.objects.get(scaikey_id=anna)), "roles"),
        ("Renamed", "display_name,roles"),
    }
    scaikey.directory.set_roles(anna, [])
    assert get_changed_counts(sync()) == {"participants": {"updated": 1}}
    assert list_grants() == {(bert, "editors", "scaikey")}


def test_success_missing_roles_field_revokes_nothing(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    for person in (anna, bert):
        scaikey.directory.set_roles(person, ["editors"])
    sync()
    scaikey.directory.set_roles(anna, None)
    assert get_changed_counts(sync()) == {}
    scaikey.directory.set_roles(bert, None)
    assert get_changed_counts(sync()) == {}
    assert list_grants() == {(anna, "editors", "scaikey"), (bert, "editors", "scaikey")}


def test_success_manual_grants_stay(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    sync()
    grant_manually("editors", anna)
    grant_manually("tenant_admin", bert)
    before = list(RoleGrant.objects.order_by("pk").values())
    scaikey.directory.set_roles(anna, ["editors"])
    scaikey.directory.set_roles(bert, [])

    assert get_changed_counts(sync()) == {}

    assert list(RoleGrant.objects.order_by("pk").values()) == before
    assert list_grants() == {(anna, "editors", "manual"), (bert, "tenant_admin", "manual")}


def test_success_manual_grant_during_the_run_stays(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant comes after planning, so it is not in the plan."""
    anna, bert = pick_two_people(scaikey)
    sync()
    for person in (anna, bert):
        scaikey.directory.set_roles(person, ["editors"])
    write = role_plan.write_grants

    def late(now: datetime) -> None:
        grant_manually("editors", anna)
        write(now)

    monkeypatch.setattr(role_plan, "write_grants", late)

    sync()

    assert list_grants() == {(anna, "editors", "manual"), (bert, "editors", "scaikey")}


def test_success_manual_grant_outlives_that_of_scaikey(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    grant_manually("editors", anna)
    scaikey.directory.set_roles(anna, [])
    assert get_changed_counts(sync()) == {}
    assert list_grants() == {(anna, "editors", "manual")}

    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    tenant = Tenant.objects.get(participants__scaikey_id=anna)
    revoke_role(
        operator=HOST, role="editors", tenant=tenant.slug, holder=anna, is_group=False, now=LONG_AGO
    )
    sync()
    assert list_grants() == {(anna, "editors", "scaikey")}


def test_success_an_inconsistent_list_takes_what_the_look_up_confirms(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    scaikey.directory.set_roles(anna, ["auditors"])
    scaikey.directory.set_roles(bert, ["editors"])
    listed = [
        msgspec.json.decode(row) for row in scaikey.directory.list_users(EVERYTHING, 0, 100)[0]
    ]
    rows: dict[str, Any] = {"data": [*listed, listed[0]], "total": len(listed)}
    scaikey.faults.add("wrong_shape", path=USERS, query={"page": "1"}, body=rows)

    report = sync()

    assert len(report.warnings) == 1
    assert list_grants() == {(anna, "auditors", "scaikey"), (bert, "editors", "scaikey")}


def test_success_grants_of_a_removed_person_return_with_them(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    index = scaikey.directory.people.ids.decode(anna)
    assert index is not None
    tenant = next(iter(scaikey.directory.tenants))
    scaikey.directory.set_roles(bert, ["editors"])
    scaikey.directory.remove_user(anna)
    sync()
    assert (anna, "editors", "scaikey") in list_grants()
    scaikey.directory.people.roster.move(index, (tenant, "ACTIVE"))
    scaikey.directory.set_roles(anna, ["auditors"])

    assert get_changed_counts(sync()) == {"participants": {"restored": 1}}

    assert list_grants() == {(anna, "auditors", "scaikey"), (bert, "editors", "scaikey")}
    assert [fields for _, action, _, fields, _ in get_changes() if action == "restore"] == ["roles"]


def test_success_moved_person_has_the_grants_in_the_new_tenant(scaikey: Sandbox) -> None:
    source, target = scaikey.directory.tenants
    anna = list_people_of_tenant(scaikey, source)[0]["id"]
    scaikey.directory.set_roles(anna, ["editors"])
    sync()
    scaikey.directory.move_user(anna, target)
    sync()
    moved = Participant.objects.get(scaikey_id=anna, absent_since=None)
    assert moved.tenant.scaikey_tenant_id == target
    assert [grant.role.slug for grant in moved.role_grants.all()] == ["editors"]
    assert Role.objects.filter(slug="editors").count() == 2


def test_success_invalid_role_slug_is_skipped_and_reported(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    names = ["Sales Team", "x", "a\nb", "編集者", "a b", "a  c", "editors", ""]
    scaikey.directory.set_roles(anna, names)

    report = sync()

    assert list_grants() == {(anna, "editors", "scaikey")}
    assert report.warnings == [
        "Roles whose names can't be slugs, or look like a built-in role, were not granted: "
        "'a\\nb', 'a  c', 'a b', 'sales team', 'x' and 1 more."
    ]
    assert get_last_run().warnings == report.warnings


def test_success_dry_run_reports_changes_and_writes_nothing(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    sync()
    scaikey.directory.set_roles(anna, ["editors"])

    report = sync(dry_run=True)

    assert get_changed_counts(report) == {"participants": {"updated": 1}}
    assert list_grants() == set()
    assert not Role.objects.exists()


def test_success_one_tenant_only(scaikey: Sandbox) -> None:
    source, target = scaikey.directory.tenants
    anna, other = (
        list_people_of_tenant(scaikey, source)[0]["id"],
        list_people_of_tenant(scaikey, target)[0]["id"],
    )
    for person in (anna, other):
        scaikey.directory.set_roles(person, ["editors"])
    sync()
    for person in (anna, other):
        scaikey.directory.set_roles(person, [])
    sync(tenant=source)
    assert list_grants() == {(other, "editors", "scaikey")}


def test_success_only_people_get_grants(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    sync()
    Participant.objects.filter(scaikey_id=anna).update(participant_type="agent")
    scaikey.directory.set_roles(anna, ["editors"])
    assert get_changed_counts(sync()) == {}
    assert list_grants() == set()


REPORTED_ROLES = st.none() | st.frozensets(st.sampled_from(["editors", "auditors", "tenant_admin"]))


@settings(
    max_examples=count_examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=st.tuples(REPORTED_ROLES, REPORTED_ROLES),
    then=st.tuples(REPORTED_ROLES, REPORTED_ROLES),
    manual=st.sampled_from(["", "editors"]),
)
def test_success_any_sequence_of_roles(
    first: tuple[frozenset[str] | None, ...],
    then: tuple[frozenset[str] | None, ...],
    manual: str,
    scaikey: Sandbox,
) -> None:
    """People have the roles that were last reported, and those that were granted manually."""
    people = pick_two_people(scaikey)
    with transaction.atomic():
        for reported in (first, then):
            for person, roles in zip(people, reported, strict=True):
                scaikey.directory.set_roles(person, None if roles is None else sorted(roles))
            sync()
            if manual and reported is first:
                grant_manually(manual, people[0])
        expected = {(people[0], manual, "manual")} if manual else set()
        for person, before, after in zip(people, first, then, strict=True):
            manual_slugs = {manual} if person == people[0] else set()
            last_slugs = (before if after is None else after) or frozenset()
            expected |= {(person, slug, "scaikey") for slug in last_slugs - manual_slugs}
        assert list_grants() == expected
        assert get_changed_counts(sync()) == {}
        transaction.set_rollback(True)


GRANT = "`scaiwave role grant super_admin --tenant <slug> --to <who>`"
WARNING = f"This sync leaves no active super_admin. Grant the role to someone: {GRANT}."


def assert_stopped(**options: Any) -> SyncReport:
    """Assert that the loss is set aside, also with --allow-removals, as a dry run and if it is
    approved, and that its own flag allows it. Returns the report of that last run."""
    before = dump_rows()
    message = "1 removal in "
    for extra in ({}, {"allow_removals": 10_000}, {"dry_run": True}, {}):
        caught = assert_partial(**options, **extra)
        assert caught.message.startswith(message)
        assert caught.report.pending_count == 1
        assert dump_rows() == before
        [row] = PendingRemoval.objects.open()
        assert row.limit_code == Limit.SUPER_ADMIN
        accept = f"{GRANT}. To accept it instead: `scaiwave sync --allow-no-super-admin`."
        assert ("--allow-no-super-admin" if message == "1 removal in " else accept) in (caught.fix)
        assert " (last super_admin)  " in run_command("sync_removals")
        change = approve([row.pk])
        if change.changed:
            assert change.sentence.endswith(
                " No one with super_admin may remain: the sync needs `--allow-no-super-admin`."
            )
        message = "1 approved removal would leave no one with super_admin. Everything else was "
    report = sync(allow_no_super_admin=True, **options)
    assert (report.outcome, report.warnings) == ("applied", [WARNING])
    assert get_last_run().warnings == [WARNING]
    return report


def grant_super_admin(person: str) -> None:
    tenant = Participant.objects.get(scaikey_id=person).tenant.slug
    grant_role(
        operator=HOST,
        role="super_admin",
        tenant=tenant,
        holder=person,
        is_group=False,
        now=LONG_AGO,
    )


def test_success_the_last_super_admin_was_removed(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    assert sync().warnings == []
    for person in (anna, bert):
        grant_super_admin(person)
    scaikey.directory.update_user(anna, status="SUSPENDED")
    assert sync().warnings == []
    scaikey.directory.remove_user(bert)
    assert_stopped()
    scaikey.directory.update_user(anna, display_name="Another")
    assert sync().warnings == []


def test_success_scaikey_revoked_the_last_super_admin(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["super_admin"])
    assert sync().warnings == []
    scaikey.directory.set_roles(anna, [])
    assert_stopped()


def test_success_the_tenant_of_the_last_super_admin_was_suspended(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    sync()
    grant_super_admin(anna)
    scaikey.directory.update_tenant(next(iter(scaikey.directory.tenants)), status="SUSPENDED")
    assert_stopped()


def test_success_the_group_with_the_last_super_admin_was_removed(synced: Sandbox) -> None:
    group = GroupMembership.objects.filter(member_participant__scaikey_status="ACTIVE")[0].group
    grant_role(
        operator=HOST,
        role="super_admin",
        tenant=group.tenant.slug,
        holder=str(group.pk),
        is_group=True,
        now=LONG_AGO,
    )
    assert count_super_admins().able
    synced.directory.remove_group(str(group.scaikey_id))
    assert_stopped()
    assert count_super_admins() == SuperAdmins(active=0, able=0)
