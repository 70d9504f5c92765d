from __future__ import annotations

import json
from typing import Any

import pytest

from scaiwave.core.change import Change
from scaiwave.core.errors import InsufficientPermission
from tenants.errors import ParticipantNotFound, SuperAdminOnly
from tenants.models import AuditEntry, Participant
from tenants.people.suspension import resume_participant
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tenants.role_factories import make_grant, make_role

pytestmark = pytest.mark.django_db

FQID = "@anna.acme:localhost"


def resume(**changes: Any) -> Change:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "name": "anna@acme.example",
        "reason": "",
        "now": NOW,
    }
    return resume_participant(**{**arguments, **changes})


def test_success_active_again_and_audited() -> None:
    make_person(make_tenant(), suspended_by_hand_at=EARLIER)
    result = resume(reason="laptop found")
    anna, entry = Participant.objects.get(), AuditEntry.objects.get()
    assert (anna.is_active, anna.updated_at) == (True, NOW)
    assert (entry.action, entry.subject_id) == ("resume-participant", str(anna.pk))
    assert entry.details == {
        "reason": "laptop found",
        "suspended_by_hand_at": "2026-11-01T08:30:00+00:00",
    }
    assert result.sentence == f"Participant {FQID} resumed."


def test_success_the_status_in_scaikey_applies_again() -> None:
    make_person(make_tenant(), suspended_by_hand_at=EARLIER, scaikey_status="SUSPENDED")
    assert resume().sentence == f"Participant {FQID} resumed, but is still suspended in ScaiKey."
    assert resume().sentence == (
        f"Participant {FQID} is not suspended manually, but suspended in ScaiKey."
    )
    assert AuditEntry.objects.count() == 1


def test_success_command() -> None:
    make_person(make_tenant(), suspended_by_hand_at=EARLIER)
    words = ("resume_participant", "anna@acme.example")
    assert run_command(*words, "--dry-run") == f"Would resume participant {FQID}.\n"
    assert not AuditEntry.objects.exists()
    assert run_command(*words, "--reason=found") == f"Participant {FQID} resumed.\n"
    assert run_command(*words) == f"Participant {FQID} is not suspended manually, but active.\n"
    document = json.loads(run_command(*words, "--tenant", "acme", "--json"))
    assert (document["changed"], document["participant"]["status"]) == (False, "active")


def test_fail_outside_the_scope_or_not_allowed() -> None:
    anna = make_person(make_tenant(), suspended_by_hand_at=EARLIER)
    with pytest.raises(ParticipantNotFound):
        resume(operator=make_partner_admin(make_partner()))
    for operator in (READ_ONLY_OPERATOR, make_tenant_admin(anna.tenant)):
        with pytest.raises(InsufficientPermission):
            resume(operator=operator)
    assert Participant.objects.get().suspended_by_hand_at == EARLIER


def test_fail_a_partner_admin_and_a_super_admin() -> None:
    tenant = make_tenant(partner=make_partner())
    anna = make_person(tenant, suspended_by_hand_at=EARLIER)
    make_grant(make_role(tenant, "super_admin", is_built_in=True), anna)
    assert tenant.partner is not None
    with pytest.raises(SuperAdminOnly):
        resume(operator=make_partner_admin(tenant.partner))
    assert Participant.objects.get().suspended_by_hand_at == EARLIER
