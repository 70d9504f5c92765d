"""Write a plan to a file, and apply it: exactly its losses of access, and nothing else of it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from pytest_django import Settings

from identity_sync.errors import (
    LastSuperAdminLost,
    RemovalLimitExceeded,
    SyncCollectionEmpty,
    SyncConflict,
    SyncPlanChanged,
    SyncPlanExpired,
    TenantNotLinked,
)
from identity_sync.models import SyncChange, SyncRun
from identity_sync.report import SyncReport
from identity_sync.reports.runs import show_run
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.record import plan_file
from identity_sync.sync.record.plan_file import open_new_plan
from identity_sync.sync.record.plan_file import read_plan as read_reviewed
from identity_sync.sync.run import run_sync
from scaiwave.clients.scaikey.client import ScaiKeyClient, scaikey_client
from scaiwave.config import Configuration
from scaiwave.core.errors import InsufficientPermission, SettingMissing
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.core.sql import execute
from scaiwave.sandbox import Sandbox
from tenants.errors import TenantNotFound
from tenants.models import Group, Participant, RoleGrant, Tenant
from tests.identity_sync.sync.helpers import (
    HOST,
    USERS,
    assert_partial,
    dump_rows,
    get_changed_counts,
    get_last_run,
    list_groups,
    list_people,
    list_people_of_tenant,
    list_temporary_tables,
    pick_two_people,
    read_database,
    read_directory,
    sync,
)
from tests.identity_sync.sync.record.plan_files import (
    apply,
    make_plan,
    read_plan,
    remove_people,
)
from tests.tenants.factories import run_command
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=120, groups=9, scim=False),
]


def test_success_what_is_in_a_plan(synced: Sandbox, path: Path) -> None:
    first, second = pick_two_people(synced)
    before = Participant.objects.get(scaikey_id=first)
    synced.directory.update_user(first, display_name="Anna")
    synced.directory.remove_user(second)
    tenant = before.tenant
    synced.directory.add_user(str(tenant.scaikey_tenant_id), display_name="New")
    rows = dump_rows()

    report = make_plan(path)

    assert dump_rows() == rows
    assert report.outcome == "planned"
    assert get_last_run().outcome == "planned"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir() if "plan" in entry.name] == ["plan.json"]
    plan = read_plan(path)
    assert (plan["format"], plan["version"], plan["tenant"]) == ("scaiwave-sync-plan", 2, None)
    assert report.plan is not None
    assert report.plan["digest"] == plan["digest"]
    assert plan["kinds"] == report.counts()
    assert plan["losses"] == report.losses
    changes = {(row["kind"], row["action"]): row for row in plan["changes"]}
    update = changes["participants", "update"]
    assert update["values"] == [
        {"field": "display_name", "old": before.display_name, "new": "Anna"}
    ]
    assert (update["tenant"], update["subject"], update["reason"]) == (
        tenant.slug,
        "Anna",
        "changed in ScaiKey",
    )
    assert {"field": "display_name", "old": None, "new": "New"} in changes["participants", "add"][
        "values"
    ]
    assert changes["participants", "deactivate"]["reason"] == "removed from ScaiKey"
    lost = Participant.objects.get(scaikey_id=second)
    assert plan["removals"] == [
        {
            "tenant_id": str(tenant.pk),
            "tenant": tenant.slug,
            "loss": "removed",
            "kind": "participants",
            "subject_id": str(lost.pk),
            "subject": str(lost),
            "scaikey_id": second,
            "reason": "removed from ScaiKey",
            "cause": "removed",
            "destination": None,
            "people": 0,
            "roles": 0,
            "memberships": 0,
        }
    ]
    assert list_temporary_tables() == []


def test_success_a_first_sync_has_everyone(scaikey: Sandbox, path: Path) -> None:
    report = make_plan(path)
    plan = read_plan(path)
    assert len(plan["changes"]) == report.change_count > 120
    tenants = list(dict.fromkeys(row["tenant"] for row in plan["changes"]))
    assert tenants == [None, *sorted(row["slug"] for row in scaikey.directory.tenants.values())]
    assert apply(path).outcome == "applied"
    assert read_database() == read_directory(scaikey)


def test_success_over_the_removal_limit(synced: Sandbox, path: Path) -> None:
    """The plan has all losses, each looked up, and is the permission for exactly these."""
    removed = remove_people(synced, 60)

    with pytest.raises(RemovalLimitExceeded) as caught:
        make_plan(path)

    assert caught.value.fix == (
        "If this is correct, review the plan, then apply exactly its losses of access: "
        f"`scaiwave sync --apply {path}`."
    )
    assert get_last_run().outcome == "refused"
    assert len(read_plan(path)["removals"]) == len(removed) == 60
    other = path.with_name("other.json")
    with pytest.raises(RemovalLimitExceeded):
        make_plan(other, allow_removals=59)
    assert make_plan(other, allow_removals=60).outcome == "planned"
    assert_partial()
    # Additions and updates may move on.
    remaining = list_people(synced)[0]["id"]
    synced.directory.update_user(remaining, display_name="Anna")
    synced.requests.reset()

    report = apply(path)

    assert get_changed_counts(report) == {"participants": {"deactivated": 60, "updated": 1}}
    assert report.plan is not None
    assert report.plan["path"] == str(path)
    assert synced.requests.count(f"{USERS}*") >= len(removed)
    assert read_database() == read_directory(synced)


def test_success_of_one_tenant(synced: Sandbox, path: Path) -> None:
    first, other, *_ = synced.directory.tenants
    for tenant in (first, other):
        for row in list_people_of_tenant(synced, tenant)[:2]:
            synced.directory.remove_user(row["id"])
    slug = synced.directory.tenants[first]["slug"]
    make_plan(path, tenant=slug)
    plan = read_plan(path)
    assert {row["tenant"] for row in plan["removals"]} == {slug} == {plan["tenant"]}

    report = apply(path)

    assert get_changed_counts(report)["participants"] == {"deactivated": 2}
    assert str(get_last_run().tenant) == slug


def test_fail_more_losses_or_fewer(synced: Sandbox, path: Path) -> None:
    first, second = pick_two_people(synced)
    synced.directory.remove_user(first)
    make_plan(path)
    synced.directory.remove_user(second)
    index = synced.directory.people.ids.decode(first)
    assert index is not None
    tenant = Participant.objects.get(scaikey_id=first).tenant
    synced.directory.people.roster.move(index, (str(tenant.scaikey_tenant_id), "ACTIVE"))
    synced.directory.clear_cache()
    before = dump_rows()

    with pytest.raises(SyncPlanChanged) as caught:
        apply(path)

    assert dump_rows() == before
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_PLAN_CHANGED", 1)
    for person, text in ((second, " new ("), (first, " no longer among them (")):
        name = Participant.objects.get(scaikey_id=person).display_name
        part = caught.value.message.partition(text)[2]
        assert f"{name} ({person}) in {tenant.slug} (removed)" in part
    assert caught.value.fix == f"Make a new plan and review it: `scaiwave sync --plan {path}`."
    run = get_last_run()
    assert (run.outcome, run.error_code) == ("refused", "SW_SYNC_PLAN_CHANGED")
    # The history keeps no names, which would outlive those that are erased.
    assert run.error_message == (f"The losses of access differ from {path}. No changes were made.")


def test_fail_every_kind_of_loss_is_named(scaikey: Sandbox, path: Path) -> None:
    person, _ = pick_two_people(scaikey)
    scaikey.directory.set_roles(person, ["editor", "viewer"])
    sync()
    make_plan(path)
    scaikey.directory.set_roles(person, ["viewer"])
    with pytest.raises(SyncPlanChanged, match=r"1 new \(.* \(role-taken\)\)"):
        apply(path)
    scaikey.directory.set_roles(person, ["editor", "viewer"])
    group = list_groups(scaikey)[0]
    row = Group.objects.get(scaikey_id=group["id"])
    scaikey.directory.remove_group(group["id"])
    with pytest.raises(SyncPlanChanged) as caught:
        apply(path)
    name = f"{row.name} ({row.scaikey_id})"
    assert f"1 new ({name} in {row.tenant.slug} (group-removed with " in caught.value.message
    assert RoleGrant.objects.filter(participant__scaikey_id=person).count() == 2


def test_fail_the_last_super_admin_needs_its_own_permission(scaikey: Sandbox, path: Path) -> None:
    first, second = pick_two_people(scaikey)
    scaikey.directory.set_roles(first, ["super_admin"])
    scaikey.directory.set_roles(second, [])
    sync()
    scaikey.directory.remove_user(first)
    with pytest.raises(LastSuperAdminLost) as caught:
        make_plan(path)
    assert f"`scaiwave sync --apply {path} --allow-no-super-admin`" in caught.value.fix
    with pytest.raises(LastSuperAdminLost):
        apply(path)
    assert apply(path, allow_no_super_admin=True).outcome == "applied"


def test_fail_an_empty_collection(synced: Sandbox, path: Path) -> None:
    synced.faults.add("wrong_shape", path=USERS, body={"data": [], "total": 0})
    synced.faults.add("status", path=f"{USERS}*", status=404)
    with pytest.raises((SyncCollectionEmpty, RemovalLimitExceeded)):
        make_plan(path)
    assert read_plan(path)["format"] == "scaiwave-sync-plan"


def test_fail_expired(scaikey: Sandbox, path: Path) -> None:
    make_plan(path)
    now = datetime.now(UTC)
    plan = read_reviewed(path)
    assert plan.head.expires_at - plan.head.created_at == timedelta(hours=24)
    plan.ensure_valid_at(now + timedelta(hours=23))
    with pytest.raises(SyncPlanExpired, match="more than 24 hours old") as caught:
        plan.ensure_valid_at(now + timedelta(hours=25))
    with pytest.raises(SyncPlanExpired, match="is dated in the future"):
        plan.ensure_valid_at(now - timedelta(minutes=5))
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_PLAN_EXPIRED", 1)
    make_expired(path)
    runs = SyncRun.objects.count()
    with pytest.raises(SyncPlanExpired):
        apply(path)
    assert SyncRun.objects.count() == runs


def make_expired(path: Path) -> None:
    """Sign the plan again, as if it was two days old."""
    plan = read_reviewed(path)
    head, removals = plan.head, list(plan.iter_removals())
    head = msgspec.structs.replace(head, created_at=head.created_at - timedelta(days=2))
    with open_new_plan(path) as file:
        plan_file.write_plan(file, path, head, removals=removals, changes=())


def test_success_a_plan_is_applied_once(synced: Sandbox, path: Path) -> None:
    remove_people(synced, 1)
    planned = make_plan(path)
    before = dump_rows()
    assert apply(path, dry_run=True).outcome == "planned"
    assert dump_rows() == before
    first = apply(path)
    run = get_last_run()
    assert run.applied_plan_id == planned.run_id
    assert first.plan is not None
    assert first.plan["applied_at"] is None
    remove_people(synced, 1)
    rows, runs = dump_rows(), SyncRun.objects.count()

    for option in (False, True):
        again = apply(path, dry_run=option)
        assert (again.run_id, again.outcome, again.change_count) == (run.pk, "applied", 0)
        assert again.plan == {**first.plan, "applied_at": run.ended_at}
    make_expired(path)
    assert apply(path).run_id == run.pk
    assert dump_rows() == rows
    assert SyncRun.objects.count() == runs


@pytest.mark.only_on("sqlite")
def test_fail_the_secret_key_is_lost(scaikey: Sandbox, path: Path, settings: Settings) -> None:
    make_plan(path)
    settings.SECRET_KEY = ""
    runs = SyncRun.objects.count()
    for act in (make_plan, apply):
        with pytest.raises(SettingMissing) as caught:
            act(path)
        assert "secret-keys.env does not exist" in caught.value.message
        assert caught.value.exit_code == 2
    assert SyncRun.objects.count() == runs


def test_fail_a_refused_plan_does_not_count_as_applied(synced: Sandbox, path: Path) -> None:
    make_plan(path)
    remove_people(synced, 15)
    for _ in range(2):
        with pytest.raises(SyncPlanChanged, match=r"15 new \(.*\(removed\).* and 10 more\)"):
            apply(path)
    assert get_last_run().applied_plan is None


@pytest.mark.only_on("sqlite")
def test_success_a_plan_that_failed_while_it_was_applied_can_be_applied(
    synced: Sandbox, path: Path
) -> None:
    """The audit log refuses the entry of the run, after the plan was written to the tables."""
    (person,) = remove_people(synced, 1)
    make_plan(path)
    execute(
        "CREATE TRIGGER full_audit_log BEFORE INSERT ON sw_audit_entries "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    for _ in range(2):
        with pytest.raises(SyncConflict):
            apply(path)
        assert get_last_run().applied_plan is None
        assert Participant.objects.get(scaikey_id=person).absent_since is None
    execute("DROP TRIGGER full_audit_log")
    assert apply(path).outcome == "applied"
    assert Participant.objects.get(scaikey_id=person).absent_since is not None


def test_success_applied_while_another_process_waited(synced: Sandbox, path: Path) -> None:
    """Only one of two runs of the same plan applies it; the other one reports that."""
    remove_people(synced, 1)
    make_plan(path)
    first: list[SyncReport] = []

    def apply_before_lock() -> None:
        if not first:
            first.append(apply(path))

    reviewed = read_reviewed(path)
    options = SyncOptions(HOST, plan=reviewed)

    def connect(config: Configuration) -> ScaiKeyClient:
        apply_before_lock()
        return scaikey_client(config)

    second = run_sync(replace(options, connect=connect))
    assert second.run_id == first[0].run_id
    assert second.plan is not None
    assert second.plan["applied_at"] is not None


def test_success_of_the_command_for_an_applied_plan(synced: Sandbox, path: Path) -> None:
    make_plan(path)
    run_command("sync", "--apply", str(path))
    run = get_last_run()
    assert run.ended_at is not None
    assert run_command("sync", "--apply", str(path)) == (
        f"This plan was applied on {run.ended_at:%Y-%m-%d %H:%M} UTC by run {run.pk}. "
        "No changes were made.\n"
    )
    document = json.loads(run_command("sync", "--apply", str(path), "--json"))
    assert (document["run_id"], document["outcome"]) == (str(run.pk), "applied")
    assert document["plan"]["applied_at"] == f"{run.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    plan_run_id = read_plan(path)["run_id"]
    shown = show_run(operator=HOST, name=str(run.pk), now=datetime.now(UTC))
    assert str(shown["plan_run_id"]) == plan_run_id
    shown = show_run(operator=HOST, name=plan_run_id, now=datetime.now(UTC))
    assert shown["applied_by_run_id"] == run.pk


@pytest.mark.parametrize("name", ["-x.json", "--tenant", "a b'c", "$(id)", "~x", "名.json"])
def test_success_the_printed_command_names_the_file(name: str) -> None:
    command = shlex.split(plan_file.format_apply_command(Path(name)))
    assert not command[-1].startswith("-")
    assert Path(command[-1]) == Path(name)


def test_success_an_older_plan_is_replaced_as_soon_as_there_is_another(
    scaikey: Sandbox, path: Path
) -> None:
    path.write_text("old")
    path.chmod(0o644)
    scaikey.faults.add("status", path=USERS, status=403)
    with pytest.raises(Exception, match="403"):
        make_plan(path)
    assert path.read_text() == "old"
    assert list(path.parent.glob(".plan*")) == []
    scaikey.faults.clear()
    make_plan(path)
    assert read_plan(path)["version"] == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_fail_permissions(synced: Sandbox, path: Path) -> None:
    tenant = Tenant.objects.exclude(scaikey_tenant_id=None)[0]
    make_plan(path)
    admin = Operator("tom", OperatorRole.TENANT_ADMIN, tenant_id=tenant.scaikey_tenant_id)
    for call in (make_plan, apply):
        with pytest.raises(InsufficientPermission):
            call(path, operator=admin)
    partner = Operator("paula", OperatorRole.PARTNER_ADMIN, partner_id="prt_other")
    with pytest.raises(InsufficientPermission):
        apply(path, operator=partner)
    with pytest.raises(InsufficientPermission):
        make_plan(path.with_name("other"), operator=partner)
    assert not path.with_name("other").exists()


def test_success_a_partner_admin_plans_and_applies_for_a_tenant(
    synced: Sandbox, path: Path, settings: Settings
) -> None:
    synced.directory.remove_user(pick_two_people(synced)[0])
    tenant = synced.directory.tenants[next(iter(synced.directory.tenants))]
    token = synced.issue_token(role="partner_admin", partner_id=tenant["partner_id"])
    settings.CONFIG = make_config(synced, SCAIWAVE_ADMIN_TOKEN=token)
    own, other = (
        Operator("paula", OperatorRole.PARTNER_ADMIN, partner_id=partner)
        for partner in (tenant["partner_id"], "prt_other")
    )
    make_plan(path, operator=own, tenant=tenant["slug"])
    with pytest.raises(TenantNotFound):
        apply(path, operator=other)
    assert get_changed_counts(apply(path, operator=own))["participants"] == {"deactivated": 1}


def test_fail_the_tenant_was_unlinked_since(synced: Sandbox, path: Path) -> None:
    tenant = Tenant.objects.exclude(scaikey_tenant_id=None)[0]
    make_plan(path, tenant=tenant.slug)
    Tenant.objects.filter(pk=tenant.pk).update(scaikey_tenant_id=None)
    with pytest.raises(TenantNotLinked):
        apply(path)


def test_success_freed_slug_is_planned_and_recorded(synced: Sandbox, path: Path) -> None:
    removed = next(iter(synced.directory.tenants.values()))
    synced.directory.remove_tenant(removed["id"])
    sync(allow_removals=10_000)
    synced.directory.add_tenant(name="Heir", slug=removed["slug"], people=2)
    old = Tenant.objects.get(scaikey_tenant_id=removed["id"])

    make_plan(path)
    apply(path)

    changes = [row for row in read_plan(path)["changes"] if row["kind"] == "tenants"]
    update = next(row for row in changes if row["action"] == "update")
    assert update["reason"] == "its slug belongs to another tenant now"
    assert update["values"] == [
        {
            "field": "slug",
            "old": removed["slug"],
            "new": Tenant.objects.get(pk=old.pk).slug,
        }
    ]
    assert not any(read_plan(path)["losses"].values())
    recorded = SyncChange.objects.get(run=get_last_run(), kind="tenants", action="update")
    assert (recorded.subject_id, recorded.fields) == (old.pk, "slug")
