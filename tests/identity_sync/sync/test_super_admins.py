"""What would leave no super admin is set aside, unless its own flag allows that."""

from __future__ import annotations

from typing import Any

import pytest

from identity_sync.errors import SyncPartial
from identity_sync.models import Limit, PendingRemoval
from identity_sync.report import SyncReport
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership, Participant
from tenants.roles.grants import grant_role
from tenants.roles.queries.super_admins import SuperAdmins, count_super_admins
from tests.identity_sync.removals.helpers import approve
from tests.identity_sync.sync.helpers import (
    HOST,
    LONG_AGO,
    dump_rows,
    get_last_run,
    pick_two_people,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=20, groups=2),
]

GRANT = "`scaiwave role grant super_admin --tenant <slug> --to <who>`"
WARNING = f"This sync leaves no active super_admin. Grant the role to someone: {GRANT}."


def assert_stopped(**options: Any) -> SyncReport:
    """Assert that the loss is set aside, also with --allow-removals, as a dry run and if it is
    approved, and that its own flag allows it. Returns the report of that last run."""
    before = dump_rows()
    for extra in ({}, {"allow_removals": 10_000}, {"dry_run": True}, {}):
        with pytest.raises(SyncPartial) as caught:
            sync(**options, **extra)
        assert caught.value.message.startswith("1 removal in ")
        assert caught.value.report.pending_count == 1
        assert dump_rows() == before
        [row] = PendingRemoval.objects.open()
        assert row.limit_code == Limit.SUPER_ADMIN
        assert "--allow-no-super-admin" in caught.value.fix
        approve([row.pk])
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


def test_success_the_group_with_the_last_super_admin_was_removed(scaikey: Sandbox) -> None:
    sync()
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
    scaikey.directory.remove_group(str(group.scaikey_id))
    assert_stopped()
    assert count_super_admins() == SuperAdmins(active=0, able=0)
