from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.core.errors import InsufficientPermission
from tenants.errors import TenantNotFound
from tenants.models import AuditEntry, Tenant
from tenants.people.suspension import resume_tenant
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    make_partner,
    make_partner_admin,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = pytest.mark.django_db


resume = partial(resume_tenant, operator=HOST_OPERATOR, name="acme", reason="", now=NOW)


def test_success_active_again_and_audited() -> None:
    make_tenant(suspended_by_hand_at=EARLIER)
    result = resume(reason="paid")
    tenant, entry = Tenant.objects.get(), AuditEntry.objects.get()
    assert (tenant.is_active, tenant.updated_at) == (True, NOW)
    assert (entry.action, entry.tenant_id) == ("resume-tenant", str(tenant.pk))
    assert entry.details == {
        "reason": "paid",
        "suspended_by_hand_at": "2026-11-01T08:30:00+00:00",
    }
    assert result.sentence == "Tenant acme resumed."


def test_success_status_of_scaikey_applies_again() -> None:
    make_tenant(suspended_by_hand_at=EARLIER, scaikey_status="SUSPENDED")
    assert resume().sentence == "Tenant acme resumed, but it is still suspended in ScaiKey."
    assert resume().sentence == (
        "Tenant acme is not suspended manually; it is suspended in ScaiKey."
    )
    assert AuditEntry.objects.count() == 1


def test_success_command() -> None:
    make_tenant(suspended_by_hand_at=EARLIER)
    assert run_command("resume_tenant", "acme", "--dry-run") == "Would resume tenant acme.\n"
    assert not AuditEntry.objects.exists()
    assert run_command("resume_tenant", "acme", "--reason=paid") == "Tenant acme resumed.\n"
    shown = "Tenant acme is not suspended manually; it is active.\n"
    assert run_command("resume_tenant", "acme") == shown
    document = json.loads(run_command("resume_tenant", "acme", "--json"))
    assert (document["changed"], document["tenant"]["status"]) == (False, "active")


def test_fail_outside_the_scope_or_not_allowed() -> None:
    tenant = make_tenant(suspended_by_hand_at=EARLIER)
    with pytest.raises(TenantNotFound):
        resume(operator=make_partner_admin(make_partner()))
    for operator in (READ_ONLY_OPERATOR, make_tenant_admin(tenant)):
        with pytest.raises(InsufficientPermission):
            resume(operator=operator)
    assert Tenant.objects.get().suspended_by_hand_at == EARLIER
