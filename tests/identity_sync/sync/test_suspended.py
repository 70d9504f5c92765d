"""What is suspended manually stays suspended, whatever a run changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scaiwave.auth.operators import get_host_operator
from scaiwave.sandbox import Sandbox
from tenants.models import Partner, Tenant
from tenants.services.suspend_partner import suspend_partner
from tenants.services.suspend_tenant import resume_tenant, suspend_tenant
from tests.identity_sync.sync.helpers import get_changed_counts, read_database, read_directory, sync

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=1, tenants=2, people=6, groups=0),
]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def make_suspended_tenant() -> Tenant:
    sync()
    tenant = Tenant.objects.order_by("slug")[0]
    suspend_tenant(
        operator=get_host_operator(),
        name=tenant.slug,
        reason="",
        confirm=lambda question: None,
        now=NOW,
    )
    return tenant


def test_success_a_tenant_that_scaikey_changes_stays_suspended(scaikey: Sandbox) -> None:
    tenant = make_suspended_tenant()
    assert tenant.scaikey_tenant_id is not None
    assert get_changed_counts(sync()) == {}

    scaikey.directory.update_tenant(tenant.scaikey_tenant_id, name="Renamed", status="ACTIVE")
    assert get_changed_counts(sync())["tenants"] == {"updated": 1}

    tenant.refresh_from_db()
    assert (tenant.name, tenant.suspended_by_hand_at) == ("Renamed", NOW)
    assert tenant.inactive_reason == "suspended manually"
    assert read_database() == read_directory(scaikey)


def test_success_a_status_set_during_the_suspension_applies_after_it(scaikey: Sandbox) -> None:
    tenant = make_suspended_tenant()
    assert tenant.scaikey_tenant_id is not None
    scaikey.directory.update_tenant(tenant.scaikey_tenant_id, status="SUSPENDED")
    sync()

    resume_tenant(operator=get_host_operator(), name=tenant.slug, reason="", now=NOW)

    tenant.refresh_from_db()
    assert tenant.inactive_reason == "suspended in ScaiKey"


def test_success_a_partner_that_scaikey_changes_stays_suspended(scaikey: Sandbox) -> None:
    sync()
    partner = Partner.objects.get()
    assert partner.scaikey_id is not None
    suspend_partner(
        operator=get_host_operator(),
        name=partner.slug,
        reason="",
        confirm=lambda question: None,
        now=NOW,
    )
    assert get_changed_counts(sync()) == {}

    scaikey.directory.update_partner(partner.scaikey_id, name="Renamed", status="ACTIVE")
    assert get_changed_counts(sync())["partners"] == {"updated": 1}

    partner.refresh_from_db()
    assert (partner.name, partner.suspended_by_hand_at) == ("Renamed", NOW)
