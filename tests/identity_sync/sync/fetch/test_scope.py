"""Who may sync what, and what credentials with a narrower scope may deactivate."""

from __future__ import annotations

import httpx
import pytest
from pytest_django import Settings

from identity_sync.models import SyncRun
from identity_sync.sync.lock import sync_lock
from identity_sync.sync.variants import compute_drift
from scaiwave.auth.identify import identify_operator
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tenants.errors import TenantNotFound
from tenants.models import Participant, Tenant
from tests.identity_sync.sync.helpers import (
    HOST,
    age_rows,
    assert_partial,
    assert_synced,
    count_rewritten_rows,
    get_changed_counts,
    get_last_run,
    get_tenant_id,
    list_people,
    list_people_of_tenant,
    list_temporary_tables,
    sync,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=4, people=80, groups=8),
]


def make_partner_admin(sandbox: Sandbox, settings: Settings, partner: str) -> Operator:
    token = sandbox.issue_token(role="partner_admin", partner_id=partner)
    settings.CONFIG = make_config(sandbox, SCAIWAVE_ADMIN_TOKEN=token)
    return Operator("paula", OperatorRole.PARTNER_ADMIN, partner_id=partner)


def use_application(sandbox: Sandbox, settings: Settings, scope: str, target: str) -> None:
    """Configure credentials as a registration with this scope issues them."""
    client = sandbox.clients.issue(
        name="narrow",
        app_scope=scope,
        app_type="SERVICE",
        target=target,
        scopes=["admin:read"],
    )
    secret = sandbox.clients.get_secret(client)
    assert secret is not None
    settings.CONFIG = make_config(
        sandbox,
        SCAIWAVE_SCAIKEY_CLIENT_ID=client.client_id,
        SCAIWAVE_SCAIKEY_CLIENT_SECRET=secret,
    )


def list_tenants_of_partner(sandbox: Sandbox, partner: str) -> list[str]:
    return [
        tenant["id"]
        for tenant in sandbox.directory.tenants.values()
        if tenant["partner_id"] == partner
    ]


def test_success_partner_admin_syncs_its_tenant(synced: Sandbox, settings: Settings) -> None:
    partner = next(iter(synced.directory.partners))
    own_tenant = list_tenants_of_partner(synced, partner)[0]
    person = list_people_of_tenant(synced, own_tenant)[0]["id"]
    other = next(row["id"] for row in list_people(synced) if get_tenant_id(row) != own_tenant)
    for changed in (person, other):
        synced.directory.update_user(changed, display_name="Renamed")

    report = sync(operator=make_partner_admin(synced, settings, partner), tenant=own_tenant)

    assert get_changed_counts(report) == {"participants": {"updated": 1}}
    assert Participant.objects.get(display_name="Renamed").scaikey_id == person


def test_fail_partner_admin_of_another_partner(synced: Sandbox, settings: Settings) -> None:
    first, second = synced.directory.partners
    other_tenant = Tenant.objects.filter(partner__scaikey_id=second).first()
    assert other_tenant is not None
    operator = make_partner_admin(synced, settings, first)
    runs = SyncRun.objects.count()

    with pytest.raises(TenantNotFound) as caught:
        sync(operator=operator, tenant=other_tenant.slug)
    assert caught.value.message == f"Tenant not found: {other_tenant.slug}."
    with pytest.raises(TenantNotFound) as unknown:
        sync(operator=operator, tenant="never-was")
    assert unknown.value.code == caught.value.code
    assert SyncRun.objects.count() == runs


def test_fail_sync_of_one_tenant_is_not_allowed(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    operator = Operator("rita", OperatorRole.PLATFORM_READ)
    for name in (tenant, "never-was"):
        with pytest.raises(InsufficientPermission):
            sync(operator=operator, tenant=name)


def test_success_tenant_admin_syncs_its_tenant_only(synced: Sandbox) -> None:
    own, other, *_ = synced.directory.tenants
    for tenant in (own, other):
        person = list_people_of_tenant(synced, tenant)[0]["id"]
        synced.directory.update_user(person, display_name="Renamed")
    operator = Operator("tom", OperatorRole.TENANT_ADMIN, tenant_id=own)

    report = sync(operator=operator, tenant=own)

    assert get_changed_counts(report) == {"participants": {"updated": 1}}
    with pytest.raises(TenantNotFound):
        sync(operator=operator, tenant=other)


@pytest.mark.parametrize("scope", ["PARTNER", "TENANT"])
def test_success_full_sync_by_who_reaches_all_of_it(
    scaikey: Sandbox, settings: Settings, scope: str
) -> None:
    rows = scaikey.directory.partners if scope == "PARTNER" else scaikey.directory.tenants
    own, other, *_ = rows
    use_application(scaikey, settings, scope, own)
    role = OperatorRole.PARTNER_ADMIN if scope == "PARTNER" else OperatorRole.TENANT_ADMIN
    column = f"{scope.lower()}_id"

    report = sync(operator=Operator("pia", role, **{column: own}))

    assert get_last_run().tenant is None
    assert report.kinds["participants"].added
    for stranger in (
        Operator("pia", role, **{column: other}),
        Operator("pia", OperatorRole.SERVICE, **{column: other}),
        Operator("rita", OperatorRole.PLATFORM_READ),
    ):
        with pytest.raises(InsufficientPermission):
            sync(operator=stranger)


@pytest.mark.parametrize("scope", ["PARTNER", "TENANT"])
def test_success_full_sync_with_the_servers_own_token(
    scaikey: Sandbox, settings: Settings, scope: str
) -> None:
    rows = scaikey.directory.partners if scope == "PARTNER" else scaikey.directory.tenants
    use_application(scaikey, settings, scope, next(iter(rows)))
    answer = httpx.post(
        f"{scaikey.url}/api/v1/platform/oauth/token",
        auth=(
            settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"),
            settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET"),
        ),
        data={"grant_type": "client_credentials", "scope": "admin:read"},
    )
    # Nothing but the token: not even the secret that it was issued for.
    settings.CONFIG = make_config(
        scaikey,
        SCAIWAVE_SCAIKEY_CLIENT_ID=settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"),
        SCAIWAVE_SCAIKEY_CLIENT_SECRET="",
        SCAIWAVE_ADMIN_TOKEN=answer.json()["access_token"],
    )
    operator = identify_operator(settings.CONFIG)
    assert operator.role is OperatorRole.SERVICE

    report = sync(operator=operator)

    assert report.outcome == "applied"
    assert report.kinds["participants"].added


def test_fail_full_sync_with_a_part_of_the_platform(scaikey: Sandbox, settings: Settings) -> None:
    """With its own token the operator would read, and so cover, less than the server does."""
    partner = next(iter(scaikey.directory.partners))
    operator = make_partner_admin(scaikey, settings, partner)
    with pytest.raises(InsufficientPermission) as caught:
        sync(operator=operator)
    assert "`scaiwave sync --tenant <slug>`" in caught.value.fix
    assert SyncRun.objects.count() == 0


def test_fail_empty_tenant_is_not_everything(scaikey: Sandbox) -> None:
    with pytest.raises(TenantNotFound):
        sync(tenant="")
    assert scaikey.requests.total == 0


def test_success_sync_of_one_tenant_changes_no_other(synced: Sandbox) -> None:
    first, second, *_ = synced.directory.tenants
    for tenant in (first, second):
        synced.directory.remove_user(list_people_of_tenant(synced, tenant)[0]["id"])
    leaver = list_people_of_tenant(synced, first)[0]["id"]
    synced.directory.move_user(leaver, second)
    age_rows()

    report = sync(tenant=first)

    assert get_changed_counts(report)["participants"] == {"deactivated": 2}
    assert count_rewritten_rows()["sw_participants"] == 2
    removed = Participant.objects.exclude(absent_since=None).values_list(
        "tenant__scaikey_tenant_id", flat=True
    )
    assert set(removed) == {first}
    assert_synced(synced, allow_removals=100)


def test_success_partner_application(scaikey: Sandbox, settings: Settings) -> None:
    first, second = scaikey.directory.partners
    sync()
    use_application(scaikey, settings, "PARTNER", first)
    age_rows()
    assert get_changed_counts(sync()) == {}
    assert count_rewritten_rows() == {}

    own_tenant, *rest = list_tenants_of_partner(scaikey, first)
    scaikey.directory.update_tenant(own_tenant, partner_id=second)
    report = sync(allow_removals=1000)
    # It is out of scope now, with everyone in it; tenants of the other partner are unchanged.
    assert get_changed_counts(report)["tenants"] == {"deactivated": 1}
    assert not Tenant.objects.get(scaikey_tenant_id=own_tenant).is_active
    assert all(Tenant.objects.get(scaikey_tenant_id=tenant).is_active for tenant in rest)
    assert Tenant.objects.filter(partner__scaikey_id=second, absent_since=None).count() == len(
        [tenant for tenant in list_tenants_of_partner(scaikey, second) if tenant != own_tenant]
    )


def test_success_partner_application_on_an_empty_server(
    scaikey: Sandbox, settings: Settings
) -> None:
    partner = next(iter(scaikey.directory.partners))
    use_application(scaikey, settings, "PARTNER", partner)
    sync()
    tenants = Tenant.objects.values_list("scaikey_tenant_id", "partner__scaikey_id")
    assert set(tenants) == {
        (tenant, partner) for tenant in list_tenants_of_partner(scaikey, partner)
    }
    assert get_changed_counts(sync()) == {}


def test_success_tenant_application(synced: Sandbox, settings: Settings) -> None:
    tenant = next(iter(synced.directory.tenants))
    use_application(synced, settings, "TENANT", tenant)
    for row in list_people(synced)[::9]:
        synced.directory.update_user(row["id"], display_name="Renamed")
    age_rows()
    sync()
    renamed = Participant.objects.filter(display_name="Renamed")
    assert {person.tenant.scaikey_tenant_id for person in renamed} == {tenant}
    assert Participant.objects.exclude(absent_since=None).count() == 0


def test_success_drift(synced: Sandbox) -> None:
    for row in list_people(synced)[:30]:
        synced.directory.remove_user(row["id"])
    runs = SyncRun.objects.count()

    with sync_lock():
        drift = compute_drift(operator=HOST, progress_factory=null_progress_factory)

    assert SyncRun.objects.count() == runs
    assert list_temporary_tables() == []
    caught = assert_partial()
    assert drift.counts() == caught.report.counts()
    assert drift.run_id is None


@pytest.mark.parametrize("scope", ["PARTNER", "TENANT"])
def test_success_drift_for_who_may_run_that_sync(
    scaikey: Sandbox, settings: Settings, scope: str
) -> None:
    targets = scaikey.directory.partners if scope == "PARTNER" else scaikey.directory.tenants
    own, other = list(targets)[:2]
    sync()
    tenant_id = next(
        iter(
            Tenant.objects.filter(
                **(
                    {"partner__scaikey_id": own}
                    if scope == "PARTNER"
                    else {"scaikey_tenant_id": own}
                )
            )
        )
    ).scaikey_tenant_id
    person = next(row for row in list_people_of_tenant(scaikey, str(tenant_id)))
    scaikey.directory.update_user(person["id"], display_name="Renamed")
    use_application(scaikey, settings, scope, own)
    role = OperatorRole.PARTNER_ADMIN if scope == "PARTNER" else OperatorRole.TENANT_ADMIN
    operator = Operator("pia", role, **{f"{scope.lower()}_id": own})

    for tenant in (None, str(tenant_id)):
        drift = compute_drift(
            operator=operator, progress_factory=null_progress_factory, tenant=tenant
        )
        assert get_changed_counts(drift) == {"participants": {"updated": 1}}

    stranger = Operator("pia", role, **{f"{scope.lower()}_id": other})
    with pytest.raises(InsufficientPermission):
        compute_drift(operator=stranger, progress_factory=null_progress_factory)
    with pytest.raises(TenantNotFound):
        compute_drift(
            operator=stranger, progress_factory=null_progress_factory, tenant=str(tenant_id)
        )
    assert get_last_run().outcome == "applied"


def test_success_dry_run(synced: Sandbox) -> None:
    synced.directory.remove_user(list_people(synced)[0]["id"])
    synced.directory.update_user(list_people(synced)[1]["id"], display_name="Renamed")
    age_rows()

    plan = sync(dry_run=True)

    assert plan.outcome == "planned"
    assert get_last_run().outcome == "planned"
    assert count_rewritten_rows() == {}
    assert sync().counts() == plan.counts()
