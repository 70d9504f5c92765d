"""`sync --purge-after`: people who were removed long ago are purged after the sync."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from identity_sync.errors import SyncPartial, SyncPurgeLimitExceeded
from identity_sync.models import Outcome
from identity_sync.report import SyncReport
from identity_sync.sync.variants import sync_and_purge
from scaiwave.core.errors import InsufficientPermission
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry, Participant, Tenant
from tests.identity_sync.sync.helpers import (
    HOST,
    USERS,
    get_last_run,
    list_people,
    make_options,
    sync,
)
from tests.tenants.factories import make_partner_admin, make_tenant, make_tenant_admin, run_command
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=3),
]


def sync_then_purge(days: int = 90, **options: Any) -> SyncReport:
    operator = options.pop("operator", HOST)
    return sync_and_purge(
        make_options(operator, **options),
        days=days,
        confirm=lambda question: None,
    )


def remove_long_ago(sandbox: Sandbox, number: int = 3, days: int = 91) -> list[str]:
    """Remove people of one tenant in ScaiKey and here, that many days ago."""
    sync()
    tenant = Tenant.objects.order_by("slug")[0]
    people = [
        str(person.scaikey_id) for person in Participant.objects.filter(tenant=tenant)[:number]
    ]
    for person in people:
        sandbox.directory.remove_user(person)
    sync(allow_removals=1000)
    removed_at = datetime.now(UTC) - timedelta(days=days)
    Participant.objects.filter(scaikey_id__in=people).update(absent_since=removed_at)
    return people


def list_purged() -> set[str | None]:
    return set(Participant.objects.exclude(purged_at=None).values_list("scaikey_id", flat=True))


def give_back(sandbox: Sandbox, person: str) -> None:
    index = sandbox.directory.people.ids.decode(person)
    assert index is not None
    tenant = Participant.objects.get(scaikey_id=person).tenant
    roster = sandbox.directory.people.roster
    roster.move(index, (str(tenant.scaikey_tenant_id), "ACTIVE"))
    sandbox.directory.clear_cache()


def test_success_everyone_removed_long_ago_unless_returned(scaikey: Sandbox) -> None:
    first, second, third = remove_long_ago(scaikey)
    Participant.objects.filter(scaikey_id=second).update(absent_since=datetime.now(UTC))
    give_back(scaikey, third)
    report = sync_then_purge()
    assert report.outcome == Outcome.APPLIED
    assert report.document()["purge"] == {"due": 1, "purged": 1, "on_hold": 0}
    assert list_purged() == {first}
    assert Participant.objects.get(scaikey_id=third).absent_since is None
    (entry,) = AuditEntry.objects.filter(action="purge-participant")
    assert (entry.operator, entry.details["purge_after_days"]) == (HOST.name, 90)


def test_success_off_by_default_and_without_effect_in_a_dry_run(scaikey: Sandbox) -> None:
    people = remove_long_ago(scaikey)
    assert sync().document()["purge"] is None
    assert sync_then_purge(dry_run=True).document()["purge"] == {
        "due": 3,
        "purged": 0,
        "on_hold": 0,
    }
    assert list_purged() == set()
    document = json.loads(run_command("sync", "--purge-after", "90", "--json"))
    assert document["purge"] == {"due": 3, "purged": 3, "on_hold": 0}
    assert list_purged() == set(people)
    assert "0 people purged." in run_command("sync", "--purge-after", "90")


def test_success_of_one_tenant(scaikey: Sandbox) -> None:
    people = remove_long_ago(scaikey)
    own, other = Tenant.objects.order_by("slug")[:2]
    assert sync_then_purge(tenant=other.slug).purge == {"due": 0, "purged": 0, "on_hold": 0}
    assert own.partner is not None
    operator = make_partner_admin(own.partner)
    assert sync_then_purge(tenant=own.slug, operator=operator).purge == {
        "due": 3,
        "purged": 3,
        "on_hold": 0,
    }
    assert list_purged() == set(people)


def test_fail_a_sync_that_does_not_apply_everything_purges_no_one(scaikey: Sandbox) -> None:
    remove_long_ago(scaikey)
    make_tenant("lab", scaikey_tenant_id=None)
    tenant = scaikey.directory.add_tenant(name="Lab", slug="lab")
    with pytest.raises(SyncPartial):
        sync_then_purge()
    scaikey.directory.remove_tenant(tenant)
    for person in list_people(scaikey)[:40]:
        scaikey.directory.remove_user(person["id"])
    with pytest.raises(SyncPartial):
        sync_then_purge()
    scaikey.faults.add("status", path=USERS, status=403)
    with pytest.raises(Exception, match="403"):
        sync_then_purge()
    assert list_purged() == set()


def test_fail_more_than_the_limit(scaikey: Sandbox, settings: Settings) -> None:
    remove_long_ago(scaikey, number=8)
    settings.CONFIG = make_config(scaikey, SCAIWAVE_PURGE_LIMIT="7")
    with pytest.raises(SyncPurgeLimitExceeded) as caught:
        sync_then_purge()
    assert caught.value.message == (
        "The sync was applied. 8 people were removed from ScaiKey at least 90 days ago, more than "
        "the limit of 7. No one was purged."
    )
    assert "`scaiwave admin purge-participant --purge-after 90 --limit 8" in caught.value.fix
    assert get_last_run().outcome == Outcome.APPLIED
    assert list_purged() == set()


def test_fail_permissions(scaikey: Sandbox) -> None:
    remove_long_ago(scaikey)
    tenant = Tenant.objects.order_by("slug")[0]
    run = get_last_run()
    with pytest.raises(InsufficientPermission):
        sync_then_purge(tenant=tenant.slug, operator=make_tenant_admin(tenant))
    assert tenant.partner is not None
    with pytest.raises(InsufficientPermission):
        sync_then_purge(operator=make_partner_admin(tenant.partner))
    assert get_last_run() == run
    assert list_purged() == set()
