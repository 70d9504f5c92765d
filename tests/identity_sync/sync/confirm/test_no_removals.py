"""Syncs that take no access: `--no-removals`, and the setting of a tenant."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from identity_sync.errors import SyncPartial
from identity_sync.models import SyncSkip, Trigger
from identity_sync.reasons import Reason
from identity_sync.report import KINDS, KindCounts
from identity_sync.reports.judgement import RunScope, judge_runs
from identity_sync.reports.status import summarise_skips
from identity_sync.sync.confirm.confirm_losses import Confirmed
from identity_sync.sync.fetch.announced import AnnouncedRecords
from identity_sync.sync.fetch.lists import Fetched, stage_off_tenants
from identity_sync.sync.fetch.scope import SyncScope
from identity_sync.sync.judge.limits import judge_plan
from identity_sync.sync.options import Permissions, SyncOptions
from identity_sync.sync.plan.make_plan import Plan
from identity_sync.sync.rules import RemovalLimit, Rules
from identity_sync.sync.staging import temporary_tables
from identity_sync.sync.variants import apply_sync_plan, write_sync_plan
from scaiwave.config import load
from scaiwave.core.sql import execute, fetch, uuid_param
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Partner, RoleGrant, Tenant
from tests.identity_sync.sync.helpers import (
    ADMIN,
    HOST,
    USERS,
    assert_partial,
    assert_synced,
    get_changed_counts,
    get_changes,
    list_groups,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=120, groups=12, scim=False),
]


def turn_off(*scaikey_ids: str) -> None:
    Tenant.objects.filter(scaikey_tenant_id__in=scaikey_ids).update(sync_removals=False)


def find_active() -> dict[str, set[Any]]:
    """Return what has access: people, groups and tenants that are active, edges and grants."""
    people = Participant.objects.filter(absent_since=None, scaikey_status="ACTIVE")
    return {
        "people": set(people.values_list("pk", flat=True)),
        "groups": set(Group.objects.filter(absent_since=None).values_list("pk", flat=True)),
        "tenants": set(
            Tenant.objects.filter(absent_since=None, scaikey_status="ACTIVE").values_list(
                "pk", "partner_id"
            )
        ),
        "partners": set(
            Partner.objects.filter(absent_since=None, scaikey_status="ACTIVE").values_list(
                "pk", flat=True
            )
        ),
        "edges": set(
            GroupMembership.objects.filter(absent_since=None).values_list("pk", flat=True)
        ),
        "grants": set(RoleGrant.objects.values_list("pk", flat=True)),
    }


def take_everything(scaikey: Sandbox) -> dict[str, str]:
    """Cause every kind of loss in the first tenant, and changes that are none; return people."""
    directory = scaikey.directory
    tenant, other, *_ = directory.tenants
    names = ("removed", "suspended", "moved", "role", "renamed", "left")
    people = [
        row["id"] for row in list_people_of_tenant(scaikey, tenant) if row["status"] == "ACTIVE"
    ]
    chosen = dict(zip(names, people, strict=False))
    directory.set_roles(chosen["role"], ["editor", "viewer"])
    groups = [row["id"] for row in list_groups(scaikey) if row["tenant_id"] == tenant]
    directory.add_member(groups[1], user_id=chosen["left"])
    sync()
    directory.remove_user(chosen["removed"])
    directory.suspend_user(chosen["suspended"])
    directory.move_user(chosen["moved"], other)
    directory.set_roles(chosen["role"], ["viewer", "tester"])
    directory.update_user(chosen["renamed"], display_name="Renamed")
    directory.remove_member(groups[1], user_id=chosen["left"])
    directory.remove_group(groups[0])
    chosen["new"] = directory.add_user(tenant, display_name="New")
    return chosen


def assert_only_additions(people: dict[str, str], before: dict[str, set[Any]]) -> None:
    after = find_active()
    assert {kind: rows - after[kind] for kind, rows in before.items() if rows - after[kind]} == {}
    assert Participant.objects.get(scaikey_id=people["renamed"]).display_name == "Renamed"
    assert Participant.objects.get(scaikey_id=people["new"]).is_active
    assert Participant.objects.filter(scaikey_id=people["moved"]).count() == 1
    roles = RoleGrant.objects.filter(participant__scaikey_id=people["role"])
    assert set(roles.values_list("role__slug", flat=True)) == {"editor", "viewer", "tester"}


def get_reasons() -> dict[str, set[str]]:
    reasons: dict[str, set[str]] = {}
    for kind, action, _, _, reason in get_changes():
        if action == "skipped":
            reasons.setdefault(kind, set()).add(reason)
    return reasons


def test_success_of_one_run(scaikey: Sandbox) -> None:
    people = take_everything(scaikey)
    before = find_active()
    scaikey.requests.reset()

    report = sync(removals=False)

    assert report.outcome == "applied"
    assert report.losses == dict.fromkeys(report.losses, 0)
    assert report.off_count > 5
    assert_only_additions(people, before)
    kinds = ("participants", "groups", "memberships")
    assert get_reasons() == {kind: {Reason.OFF_FOR_RUN.label} for kind in kinds}
    assert scaikey.requests.count(f"{USERS}?*") == 0
    assert not SyncSkip.objects.filter(is_postponed=True).exists()

    assert sync().outcome == "applied"
    assert read_database() == read_directory(scaikey)
    assert not SyncSkip.objects.exists()


def test_success_of_a_tenant(scaikey: Sandbox) -> None:
    people = take_everything(scaikey)
    tenant, other, *_ = scaikey.directory.tenants
    turn_off(tenant)
    leaver = list_people_of_tenant(scaikey, other)[0]["id"]
    scaikey.directory.remove_user(leaver)
    before = find_active()
    before["people"].discard(Participant.objects.get(scaikey_id=leaver).pk)
    before["edges"] -= set(
        GroupMembership.objects.filter(member_participant__scaikey_id=leaver).values_list(
            "pk", flat=True
        )
    )

    report = sync()

    assert_only_additions(people, before)
    assert report.losses["people"] == 1
    assert not Participant.objects.get(scaikey_id=leaver).is_active
    assert get_reasons()["participants"] == {Reason.OFF_FOR_TENANT.label}
    again = get_changed_counts(sync())
    assert {name for counts in again.values() for name in counts} == {"skipped"}
    summary = summarise_skips(RunScope(HOST))
    assert (summary["count"] > 0, summary["postponed"]) == (True, 0)
    # Two runs skipped the same rows, but on purpose.
    judgement = judge_runs(RunScope(HOST), config=load({}), now=datetime.now(UTC))
    assert judgement.problems == []

    Tenant.objects.update(sync_removals=True)
    assert_synced(scaikey)


def test_success_of_a_tenant_for_webhooks_and_in_its_own_sync(scaikey: Sandbox) -> None:
    people = take_everything(scaikey)
    turn_off(next(iter(scaikey.directory.tenants)))
    before = find_active()
    targets = AnnouncedRecords.from_pairs(("participants", person) for person in people.values())

    report = sync(announced=targets, trigger=Trigger.WEBHOOK)

    assert_only_additions(people, before)
    assert report.undecided == {}

    slug = next(iter(scaikey.directory.tenants.values()))["slug"]
    sync(tenant=slug)
    assert_only_additions(people, before)


def test_success_a_lost_tenant_and_a_lost_partner(synced: Sandbox) -> None:
    partner = next(iter(synced.directory.partners))
    tenants = [
        row["id"] for row in synced.directory.tenants.values() if row["partner_id"] == partner
    ]
    turn_off(tenants[0])
    before = find_active()
    synced.directory.remove_partner(partner)

    sync(allow_removals=1000)

    kept = Tenant.objects.get(scaikey_tenant_id=tenants[0])
    assert kept.is_active
    assert Partner.objects.get(scaikey_id=partner).is_active
    after = find_active()
    people = set(Participant.objects.filter(tenant=kept).values_list("pk", flat=True))
    assert before["people"] & people == after["people"] & people

    sync(removals=False)
    assert find_active() == after


def test_success_a_tenant_gets_an_inactive_partner(scaikey: Sandbox) -> None:
    first, second = scaikey.directory.partners
    scaikey.directory.update_partner(second, status="SUSPENDED")
    sync()
    tenant = next(row for row in scaikey.directory.tenants.values() if row["partner_id"] == first)
    turn_off(tenant["id"])
    before = find_active()
    scaikey.directory.update_tenant(tenant["id"], partner_id=second)
    sync()
    assert find_active() == before


def test_success_many_kept_losses_do_not_stop_others(synced: Sandbox) -> None:
    """They don't count for the removal limit, and are not looked up in each run."""
    tenant, other, *_ = synced.directory.tenants
    turn_off(tenant)
    for row in list_people_of_tenant(synced, tenant):
        synced.directory.remove_user(row["id"])
    leaver = list_people_of_tenant(synced, other)[0]["id"]
    synced.directory.remove_user(leaver)

    report = sync()

    assert report.losses["people"] == 1
    assert not Participant.objects.get(scaikey_id=leaver).is_active


def test_success_a_plan_without_removals(scaikey: Sandbox, tmp_path: Path) -> None:
    people = take_everything(scaikey)
    before = find_active()
    path = tmp_path / "plan.json"
    write_sync_plan(SyncOptions(HOST, permissions=Permissions(removals=False)), path)
    apply_sync_plan(SyncOptions(HOST), path)
    assert_only_additions(people, before)


def test_success_what_is_partial_stays_partial(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants.values()))
    Tenant.objects.filter(scaikey_tenant_id=tenant["id"]).update(scaikey_tenant_id=None)
    assert_partial(removals=False)


def test_success_losses_without_a_claim_are_skipped_too(synced: Sandbox) -> None:
    """No known record leads to such a loss, and none may take access."""
    Tenant.objects.update(sync_removals=False)
    person = Participant.objects.exclude(scaikey_id=None)[0]
    with temporary_tables():
        stage_off_tenants(removals=True)
        execute(
            "INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason) "
            "SELECT 'participants', 'deactivate', id, tenant_id, scaikey_id, '', '' "
            "FROM sw_participants WHERE id = %s",
            [uuid_param(person.pk)],
        )
        fetched = Fetched(SyncScope("GLOBAL"), present={"participants": 120})
        plan = Plan(
            Confirmed(fetched, [], [], 0, {}),
            kinds={kind: KindCounts() for kind in KINDS},
            staged={"participants": 119},
        )
        rules = Rules(RemovalLimit(limit=20, share=0.1), datetime.now(UTC))
        verdict = judge_plan(plan, rules)
        assert not any(verdict.losses.values())
        assert fetch("SELECT action, reason FROM sync_plan") == [("skipped", Reason.OFF_FOR_TENANT)]


def test_success_runs_that_skip_on_purpose_are_counted_apart(synced: Sandbox) -> None:
    person = list_people(synced)[0]["id"]
    synced.directory.remove_user(person)
    for removals, expected in ((False, 1), (False, 2), (True, 1), (True, 2), (False, 1)):
        path = f"{ADMIN}/users/{person}"
        synced.faults.add("status", path=path, status=403)
        with suppress(SyncPartial):
            sync(removals=removals)
        skip = SyncSkip.objects.get(kind="participants", subject_scaikey_id=person)
        assert (skip.runs, skip.reason_code == Reason.OFF_FOR_RUN) == (expected, not removals)
