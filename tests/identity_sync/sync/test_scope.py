"""Who may sync what, and what credentials of a narrower reach may call absent."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from identity_sync.models import SyncRun
from identity_sync.services.sync.run import compute_drift, sync_lock
from scaiwave.auth.operators import Operator, Role
from scaiwave.console.progress import null_progress_factory
from scaiwave.errors import InsufficientPermission
from scaiwave.sandbox import Sandbox
from tenants.errors import TenantNotFound
from tenants.models import Participant, Tenant
from tests.identity_sync.sync.directory import (
    HOST,
    age,
    configured,
    counts,
    everybody,
    in_database,
    in_directory,
    last_run,
    people_of,
    rewritten,
    sync,
    temporary_left,
    tenant_in,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=4, people=80, groups=8),
]


def _partner_admin(sandbox: Sandbox, settings: Settings, partner: str) -> Operator:
    token = sandbox.issue_token(role="partner_admin", partner_id=partner)
    settings.CONFIG = configured(sandbox, SCAIWAVE_ADMIN_TOKEN=token)
    return Operator("paula", Role.PARTNER_ADMIN, partner_id=partner)


def _application(sandbox: Sandbox, settings: Settings, scope: str, target: str) -> None:
    """Credentials as a registration with this scope hands them out."""
    client = sandbox.clients.issue(
        number=1,
        name="narrow",
        app_scope=scope,
        app_type="SERVICE",
        target=target,
        scopes=["admin:read"],
    )
    secret = sandbox.clients.get_secret(client)
    assert secret is not None
    settings.CONFIG = configured(
        sandbox,
        SCAIWAVE_SCAIKEY_CLIENT_ID=client.client_id,
        SCAIWAVE_SCAIKEY_CLIENT_SECRET=secret,
    )


def _tenants_of(sandbox: Sandbox, partner: str) -> list[str]:
    return [t["id"] for t in sandbox.directory.tenants.values() if t["partner_id"] == partner]


def test_success_partner_admin_syncs_its_tenant(scaikey: Sandbox, settings: Settings) -> None:
    sync()
    partner = next(iter(scaikey.directory.partners))
    mine = _tenants_of(scaikey, partner)[0]
    person = people_of(scaikey, mine)[0]["id"]
    other = next(row["id"] for row in everybody(scaikey) if tenant_in(row) != mine)
    for changed in (person, other):
        scaikey.directory.update_user(changed, display_name="Renamed")

    report = sync(operator=_partner_admin(scaikey, settings, partner), tenant=mine)

    assert counts(report) == {"participants": {"updated": 1}}
    assert Participant.objects.get(display_name="Renamed").scaikey_id == person


def test_fail_partner_admin_elsewhere(scaikey: Sandbox, settings: Settings) -> None:
    sync()
    one, two = scaikey.directory.partners
    theirs = Tenant.objects.filter(partner__scaikey_id=two).first()
    assert theirs is not None
    operator = _partner_admin(scaikey, settings, one)
    runs = SyncRun.objects.count()

    with pytest.raises(TenantNotFound) as caught:
        sync(operator=operator, tenant=theirs.slug)
    assert caught.value.message == f"There is no tenant '{theirs.slug}'."
    with pytest.raises(TenantNotFound) as unknown:
        sync(operator=operator, tenant="never-was")
    assert unknown.value.code == caught.value.code
    assert SyncRun.objects.count() == runs


@pytest.mark.parametrize("role", [Role.PARTNER_ADMIN, Role.TENANT_ADMIN, Role.PLATFORM_READ])
def test_fail_full_sync_is_not_theirs(scaikey: Sandbox, role: Role) -> None:
    operator = Operator("pia", role, partner_id="prt_1", tenant_id="tnt_1")
    with pytest.raises(InsufficientPermission) as caught:
        sync(operator=operator)
    assert caught.value.exit_code == 3
    assert SyncRun.objects.count() == 0
    assert scaikey.requests.total == 0


@pytest.mark.parametrize("role", [Role.TENANT_ADMIN, Role.PLATFORM_READ])
def test_fail_one_tenant_is_not_theirs_either(scaikey: Sandbox, role: Role) -> None:
    sync()
    tenant = next(iter(scaikey.directory.tenants))
    with pytest.raises(InsufficientPermission):
        sync(operator=Operator("tom", role, tenant_id=tenant), tenant=tenant)
    with pytest.raises(InsufficientPermission):
        sync(operator=Operator("tom", role, tenant_id=tenant), tenant="never-was")


def test_fail_empty_tenant_is_not_everything(scaikey: Sandbox) -> None:
    with pytest.raises(TenantNotFound):
        sync(tenant="")
    assert scaikey.requests.total == 0


def test_success_one_tenant_leaves_others_alone(scaikey: Sandbox) -> None:
    sync()
    one, two, *_ = scaikey.directory.tenants
    for tenant in (one, two):
        scaikey.directory.remove_user(people_of(scaikey, tenant)[0]["id"])
    leaver = people_of(scaikey, one)[0]["id"]
    scaikey.directory.move_user(leaver, two)
    age()

    report = sync(tenant=one)

    assert counts(report)["participants"] == {"deactivated": 2}
    assert rewritten()["sw_participants"] == 2
    gone = Participant.objects.exclude(absent_since=None).values_list(
        "tenant__scaikey_tenant_id", flat=True
    )
    assert set(gone) == {one}
    sync(allow_removals=100)
    assert in_database() == in_directory(scaikey)


def test_success_partner_application(scaikey: Sandbox, settings: Settings) -> None:
    one, two = scaikey.directory.partners
    sync()
    _application(scaikey, settings, "PARTNER", one)
    age()
    assert counts(sync()) == {}
    assert rewritten() == {}

    mine, *rest = _tenants_of(scaikey, one)
    scaikey.directory.update_tenant(mine, partner_id=two)
    report = sync(allow_removals=1000)
    # It is out of our reach now, with everybody in it; the other partner's are not touched.
    assert counts(report)["tenants"] == {"deactivated": 1}
    assert not Tenant.objects.get(scaikey_tenant_id=mine).is_active
    assert all(Tenant.objects.get(scaikey_tenant_id=tenant).is_active for tenant in rest)
    assert Tenant.objects.filter(partner__scaikey_id=two, absent_since=None).count() == len(
        [tenant for tenant in _tenants_of(scaikey, two) if tenant != mine]
    )


def test_success_partner_application_on_an_empty_server(
    scaikey: Sandbox, settings: Settings
) -> None:
    partner = next(iter(scaikey.directory.partners))
    _application(scaikey, settings, "PARTNER", partner)
    sync()
    tenants = Tenant.objects.values_list("scaikey_tenant_id", "partner__scaikey_id")
    assert set(tenants) == {(tenant, partner) for tenant in _tenants_of(scaikey, partner)}
    assert counts(sync()) == {}


def test_success_tenant_application(scaikey: Sandbox, settings: Settings) -> None:
    sync()
    tenant = next(iter(scaikey.directory.tenants))
    _application(scaikey, settings, "TENANT", tenant)
    for row in everybody(scaikey)[::9]:
        scaikey.directory.update_user(row["id"], display_name="Renamed")
    age()
    sync()
    renamed = Participant.objects.filter(display_name="Renamed")
    assert {person.tenant.scaikey_tenant_id for person in renamed} == {tenant}
    assert Participant.objects.exclude(absent_since=None).count() == 0


def test_success_drift(scaikey: Sandbox) -> None:
    sync()
    for row in everybody(scaikey)[:30]:
        scaikey.directory.remove_user(row["id"])
    runs = SyncRun.objects.count()

    with sync_lock():
        drift = compute_drift(operator=HOST, bars=null_progress_factory)

    assert SyncRun.objects.count() == runs
    assert temporary_left() == []
    assert drift.counts() == sync(allow_removals=1000).counts()
    assert drift.run_id is None


def test_success_dry_run(scaikey: Sandbox) -> None:
    sync()
    scaikey.directory.remove_user(everybody(scaikey)[0]["id"])
    scaikey.directory.update_user(everybody(scaikey)[1]["id"], display_name="Renamed")
    age()

    plan = sync(dry_run=True)

    assert plan.outcome == "planned"
    assert last_run().outcome == "planned"
    assert rewritten() == {}
    assert sync().counts() == plan.counts()
