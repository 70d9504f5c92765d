from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.core.errors import InsufficientPermission
from tenants.models import AuditEntry, Partner
from tenants.people.suspension import resume_partner
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    make_partner,
    make_partner_admin,
    run_command,
)

pytestmark = pytest.mark.django_db


resume = partial(resume_partner, operator=HOST_OPERATOR, name="northwind", reason="", now=NOW)


def test_success_active_again_and_audited() -> None:
    make_partner(suspended_by_hand_at=EARLIER)
    result = resume(reason="paid")
    partner, entry = Partner.objects.get(), AuditEntry.objects.get()
    assert (partner.is_active, partner.updated_at) == (True, NOW)
    assert (entry.action, entry.subject_id) == ("resume-partner", str(partner.pk))
    assert entry.details == {
        "reason": "paid",
        "suspended_by_hand_at": "2026-11-01T08:30:00+00:00",
    }
    assert result.sentence == "Partner northwind resumed."


def test_success_status_of_scaikey_applies_again() -> None:
    make_partner(suspended_by_hand_at=EARLIER, scaikey_status="SUSPENDED")
    assert resume().sentence == "Partner northwind resumed, but it is still suspended in ScaiKey."
    assert resume().sentence == (
        "Partner northwind is not suspended manually; it is suspended in ScaiKey."
    )
    assert AuditEntry.objects.count() == 1


def test_success_command() -> None:
    make_partner(suspended_by_hand_at=EARLIER)
    words = ("resume_partner", "northwind")
    assert run_command(*words, "--dry-run") == "Would resume partner northwind.\n"
    assert not AuditEntry.objects.exists()
    assert run_command(*words, "--reason=paid") == "Partner northwind resumed.\n"
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document["partner"]["status"]) == (False, "active")


def test_fail_not_allowed() -> None:
    partner = make_partner(suspended_by_hand_at=EARLIER)
    for operator in (READ_ONLY_OPERATOR, make_partner_admin(partner)):
        with pytest.raises(InsufficientPermission):
            resume(operator=operator)
    assert Partner.objects.get().suspended_by_hand_at == EARLIER
