from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded
from tenants.models import AuditEntry, Tenant
from tenants.people.link_tenant import unlink_tenant
from tests.refusals import decline
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    make_person,
    make_tenant,
    run_command,
)

pytestmark = pytest.mark.django_db

QUESTION = (
    "This stops syncs for tenant acme, and blocks sign-in for 0 people in acme until it is linked "
    "again. If ScaiKey still has tnt_acme, the next full sync creates another tenant for it."
)


unlink = partial(
    unlink_tenant,
    operator=HOST_OPERATOR,
    name="acme",
    confirm=lambda question: None,
    now=NOW,
)


def test_success_unlinked_and_audited() -> None:
    make_tenant(scaikey_status="SUSPENDED", absent_since=EARLIER)
    assert unlink().changed
    tenant, entry = Tenant.objects.get(), AuditEntry.objects.get()
    assert (tenant.scaikey_tenant_id, tenant.is_active, tenant.updated_at) == (None, True, NOW)
    assert (entry.action, entry.subject_id) == ("unlink-tenant", str(tenant.pk))
    assert entry.details == {
        "scaikey_tenant_id": "tnt_acme",
        "scaikey_status": "SUSPENDED",
        "absent_since": "2026-11-01T08:30:00+00:00",
    }


def test_success_manual_suspension_stays() -> None:
    make_tenant(suspended_by_hand_at=EARLIER)
    unlink()
    assert Tenant.objects.get().inactive_reason == "suspended manually"


def test_success_repeated_changes_nothing_without_a_prompt(tenant: Tenant) -> None:
    questions: list[str] = []
    assert unlink(confirm=questions.append).changed
    assert not unlink(confirm=questions.append).changed
    assert questions == [QUESTION]
    assert AuditEntry.objects.count() == 1


def test_success_question_counts_the_people_who_can_sign_in(tenant: Tenant) -> None:
    for number in range(3):
        make_person(tenant, f"person-{number}")
    make_person(tenant, "left", absent_since=NOW)
    questions: list[str] = []
    unlink(confirm=questions.append)
    assert questions == [QUESTION.replace("0 people", "all 3 people")]


def test_success_reports_that_the_tenant_becomes_active() -> None:
    make_tenant(scaikey_status="SUSPENDED")
    questions: list[str] = []
    unlink(confirm=questions.append)
    assert " The tenant is suspended in ScaiKey; it becomes active again." in questions[0]


def test_success_command(tenant: Tenant) -> None:
    assert (
        run_command("unlink_tenant", "acme", "--dry-run")
        == "Would unlink tenant acme from tnt_acme.\n"
    )
    assert AuditEntry.objects.count() == 0
    assert (
        run_command("unlink_tenant", "acme", "--no-input")
        == "Tenant acme unlinked from ScaiKey; it is now local.\n"
    )
    assert (
        run_command("unlink_tenant", "acme") == "Tenant acme is already local; nothing changed.\n"
    )
    document = json.loads(run_command("unlink_tenant", "acme", "--json"))
    assert (document["tenant"]["id"], document["changed"]) == (str(tenant.pk), False)


def test_fail_no_terminal_or_declined(tenant: Tenant) -> None:
    with pytest.raises(ConfirmationNeeded) as caught:
        run_command("unlink_tenant", "acme")
    assert caught.value.message == f"Confirmation required: {QUESTION} Continue?"
    with pytest.raises(ConfirmationDeclined):
        unlink(confirm=decline)
    assert Tenant.objects.get().scaikey_tenant_id == "tnt_acme"


def test_success_unlinked_concurrently(tenant: Tenant) -> None:
    assert not unlink(confirm=lambda question: _ignore(unlink())).changed
    assert AuditEntry.objects.count() == 1


def _ignore(result: Change) -> None:
    assert result.changed
