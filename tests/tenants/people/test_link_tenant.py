from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from scaiwave.core.change import Change
from scaiwave.core.errors import InsufficientPermission
from scaiwave.sandbox import Sandbox
from tenants.errors import InvalidName, ScaiKeyTenantNotFound, TenantConflict, TenantNotFound
from tenants.models import AuditEntry, Tenant
from tenants.people.link_tenant import link_tenant
from tenants.people.scaikey_lookup import TenantLookup
from tests.refusals import refuses
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    make_partner,
    make_partner_admin,
    make_tenant,
    make_tenant_admin,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=2, people=4, groups=0),
]


@pytest.fixture
def lab() -> Tenant:
    return make_tenant("lab", scaikey_tenant_id=None)


@pytest.fixture
def at_scaikey(sandbox: Sandbox) -> str:
    return sandbox.directory.add_tenant(name="Lab", slug="laboratory")


def link(key: str, lookup: TenantLookup | None = None, **changes: Any) -> Change:
    arguments: dict[str, Any] = {"operator": HOST_OPERATOR, "name": "lab", "now": NOW}
    return link_tenant(scaikey_tenant_id=key, lookup=lookup, **{**arguments, **changes})


def test_success_linked_and_audited(
    lab: Tenant, at_scaikey: str, lookup: TenantLookup, sandbox: Sandbox
) -> None:
    Tenant.objects.update(absent_since=EARLIER)
    sandbox.directory.update_tenant(at_scaikey, status="SUSPENDED")
    result = link(at_scaikey, lookup)
    lab.refresh_from_db()
    assert (lab.scaikey_tenant_id, lab.status, lab.updated_at) == (at_scaikey, "suspended", NOW)
    partner = sandbox.directory.get("tenant", at_scaikey)["partner_id"]
    assert result.rest["next_sync_changes"] == [
        {"field": "slug", "old": "lab", "new": "laboratory"},
        {"field": "partner", "old": "", "new": partner},
    ]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id) == ("link-tenant", str(lab.pk))
    assert entry.details == {"scaikey_tenant_id": at_scaikey}


def test_success_again_changes_nothing(lab: Tenant) -> None:
    assert link("tnt_1").changed
    assert not link("tnt_1").changed
    assert AuditEntry.objects.count() == 1


def test_success_dry_run(lab: Tenant, at_scaikey: str, lookup: TenantLookup) -> None:
    result = link(at_scaikey, lookup, dry_run=True)
    assert result.dry_run
    assert result.rest["next_sync_changes"][0]["new"] == "laboratory"
    lab.refresh_from_db()
    assert lab.scaikey_tenant_id is None
    assert not AuditEntry.objects.exists()


def test_success_command(lab: Tenant, at_scaikey: str, lookup: TenantLookup) -> None:
    words = ("link_tenant", "lab", "--scaikey-tenant-id", at_scaikey)
    out, err = StringIO(), StringIO()
    call_command(*words, "--dry-run", stdout=out, stderr=err)
    call_command(*words, stdout=out, stderr=err)
    call_command(*words, stdout=out, stderr=err)
    assert out.getvalue() == (
        "Would link tenant lab.\n"
        f"Tenant lab linked to ScaiKey tenant {at_scaikey}.\n"
        f"Tenant lab is already linked to ScaiKey tenant {at_scaikey}; nothing changed.\n"
    )
    warning = "Warning: The next sync changes the slug from 'lab' to 'laboratory'.\n"
    assert err.getvalue().count(warning) == 2
    out = StringIO()
    call_command(*words, "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert (document["tenant"]["scaikey_tenant_id"], document["changed"]) == (at_scaikey, False)


def test_fail_linked_to_another() -> None:
    make_tenant("lab", scaikey_tenant_id="tnt_old")
    with pytest.raises(TenantConflict) as caught:
        link("tnt_new")
    assert caught.value.message == "Tenant lab is already linked to ScaiKey tenant tnt_old."
    assert caught.value.fix == (
        "If that link is wrong, run `scaiwave admin unlink-tenant lab` first."
    )


def test_fail_scaikey_tenant_is_taken(lab: Tenant, tenant: Tenant) -> None:
    with refuses(
        TenantConflict, "ScaiKey tenant tnt_acme is already linked to tenant acme ('Acme')."
    ):
        link("tnt_acme")


def test_fail_tenant_is_unknown_locally_or_in_scaikey(lab: Tenant, lookup: TenantLookup) -> None:
    with pytest.raises(TenantNotFound):
        link("tnt_1", name="nope")
    with pytest.raises(ScaiKeyTenantNotFound):
        link("tnt_1", lookup)
    with pytest.raises(InvalidName):
        link("")


def test_fail_linked_to_another_tenant_concurrently(
    lab: Tenant, at_scaikey: str, lookup: TenantLookup
) -> None:
    def overtaken(key: str) -> Any:
        make_tenant("fast", scaikey_tenant_id=key)
        return lookup(key)

    with pytest.raises(TenantConflict) as caught:
        link(at_scaikey, overtaken)
    assert "to tenant fast " in caught.value.message
    assert not AuditEntry.objects.exists()


def test_success_linked_concurrently(lab: Tenant, at_scaikey: str, lookup: TenantLookup) -> None:
    def overtaken(key: str) -> Any:
        link(key)
        return lookup(key)

    assert not link(at_scaikey, overtaken).changed
    assert AuditEntry.objects.count() == 1


def test_fail_outside_the_scope(
    lab: Tenant, at_scaikey: str, lookup: TenantLookup, sandbox: Sandbox
) -> None:
    owner = sandbox.directory.get("tenant", at_scaikey)["partner_id"]
    others = [key for key in sandbox.directory.partners if key != owner]
    paula_partner = make_partner("mine", scaikey_id=others[0])
    paula = make_partner_admin(paula_partner)
    with pytest.raises(TenantNotFound):
        link(at_scaikey, lookup, operator=paula)
    mine = make_tenant("mine", scaikey_tenant_id=None, partner=paula_partner)
    with pytest.raises(ScaiKeyTenantNotFound):
        link(at_scaikey, lookup, operator=paula, name=mine.slug)
    with refuses(InsufficientPermission, "paula (partner_admin) may not manage the platform."):
        link(at_scaikey, operator=paula, name=mine.slug)
    with pytest.raises(InsufficientPermission):
        link(at_scaikey, lookup, operator=make_tenant_admin(make_tenant()))
