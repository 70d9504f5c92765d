"""Syncs in the audit log: those with losses, with a permission, or started by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from identity_sync.errors import SyncCollectionEmpty, SyncConflict
from identity_sync.models import SyncRun, Trigger
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.run import run_sync
from identity_sync.sync.variants import apply_sync_plan, sync_and_purge, write_sync_plan
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry, Participant, Tenant
from tests.identity_sync.sync.helpers import (
    HOST,
    USERS,
    assert_partial,
    list_people,
    list_people_of_tenant,
    sync,
)
from tests.tenants.factories import run_command

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=3),
]
ADMIN = Operator("olga", OperatorRole.SUPER_ADMIN, origin="10.0.0.1", subject="usr-olga")


def list_entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="sync").order_by("pk"))


def get_only_entry(run_id: Any) -> AuditEntry:
    (entry,) = AuditEntry.objects.filter(action="sync", subject_id=str(run_id))
    return entry


def remove_people(sandbox: Sandbox, number: int) -> list[str]:
    tenant = next(iter(sandbox.directory.tenants))
    people = [row["id"] for row in list_people_of_tenant(sandbox, tenant)[:number]]
    for person in people:
        sandbox.directory.remove_user(person)
    return people


def test_success_a_person_starts_a_sync(scaikey: Sandbox) -> None:
    report = sync(operator=ADMIN)
    entry = get_only_entry(report.run_id)
    assert (entry.operator, entry.operator_role, entry.origin, entry.operator_id) == (
        *("olga", "super_admin", "10.0.0.1", "usr-olga"),
    )
    assert (entry.subject_type, entry.subject_name, entry.tenant_id) == (
        *("syncrun", "all tenants", ""),
    )
    assert entry.details == {
        "trigger": "manual",
        "outcome": "applied",
        "counts": {
            kind: {"added": counts.added} for kind, counts in report.kinds.items() if counts.added
        },
        "losses": {},
        "permissions": {},
    }
    # Also if nothing has changed; a dry run changes nothing.
    get_only_entry(sync(operator=ADMIN).run_id)
    sync(operator=ADMIN, dry_run=True)
    assert len(list_entries()) == 2
    assert "all tenants" in run_command("list_audit", "--action", "sync")


def test_success_only_the_scheduled_syncs_with_losses(scaikey: Sandbox) -> None:
    sync(trigger=Trigger.CRON)
    sync(trigger=Trigger.CRON)
    assert list_entries() == []
    (person,) = remove_people(scaikey, 1)
    row = Participant.objects.get(scaikey_id=person)
    report = sync(trigger=Trigger.CRON)
    entry = get_only_entry(report.run_id)
    assert (entry.operator, entry.operator_role) == ("scheduled", "host")
    assert entry.details["losses"]["people"] == 1
    assert entry.details["counts"]["participants"] == {"deactivated": 1}
    # Names can't be erased there.
    assert row.display_name not in str(entry.details)
    assert row.email not in str(entry.details)
    # An operator with a token keeps their name, whatever option they pass.
    remove_people(scaikey, 1)
    assert get_only_entry(sync(trigger=Trigger.CRON, operator=ADMIN).run_id).operator == "olga"
    remove_people(scaikey, 1)
    assert get_only_entry(sync(trigger=Trigger.WEBHOOK).run_id).operator == "webhook"


def test_success_of_one_tenant(scaikey: Sandbox) -> None:
    sync(trigger=Trigger.CRON)
    tenant = Tenant.objects.order_by("slug")[0]
    entry = get_only_entry(sync(tenant=tenant.slug).run_id)
    assert (entry.tenant_id, entry.subject_name) == (str(tenant.pk), tenant.slug)


def test_success_permissions(scaikey: Sandbox, tmp_path: Path) -> None:
    sync(trigger=Trigger.CRON)
    report = sync(trigger=Trigger.CRON, allow_removals=0, allow_no_super_admin=True)
    assert get_only_entry(report.run_id).details["permissions"] == {
        "allow_removals": 0,
        "allow_no_super_admin": True,
    }
    remove_people(scaikey, 2)
    options = SyncOptions(HOST)
    plan = write_sync_plan(options, tmp_path / "plan.json")
    report = apply_sync_plan(options, tmp_path / "plan.json")
    entry = get_only_entry(report.run_id)
    assert entry.details["permissions"] == {"plan_run_id": str(plan.run_id)}
    assert entry.details["losses"]["people"] == 2
    cron = SyncOptions(HOST, trigger=Trigger.CRON)
    report = sync_and_purge(cron, days=90, confirm=lambda question: None)
    assert get_only_entry(report.run_id).details["permissions"] == {"purge_after_days": 90}


@pytest.mark.sandbox(partners=1, tenants=2, people=200, groups=2)
def test_fail_nothing_is_changed_and_nothing_recorded(scaikey: Sandbox) -> None:
    """The history of runs has them, with their error."""
    first = list_people(scaikey)[0]["id"]
    scaikey.directory.set_roles(first, ["super_admin"])
    sync(trigger=Trigger.CRON)
    remove_people(scaikey, 60)
    assert_partial(trigger=Trigger.CRON)
    assert list_entries() == []
    scaikey.faults.add("wrong_shape", path=USERS, body={"data": [], "total": 0})
    scaikey.faults.add("status", path=f"{USERS}*", status=404)
    with pytest.raises(SyncCollectionEmpty):
        sync(allow_removals=1)
    assert list_entries() == []
    assert SyncRun.objects.filter(outcome="refused").count() == 1


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_fail_the_entry_is_rolled_back_with_the_plan(scaikey: Sandbox) -> None:
    """The database refuses the entry at the end: the plan is not applied without it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE unique_violation; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON sw_audit_entries "
            "FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()"
        )
    try:
        with pytest.raises(SyncConflict):
            run_sync(SyncOptions(HOST))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER refused ON sw_audit_entries")
    assert not Participant.objects.exists()
    assert list_entries() == []
