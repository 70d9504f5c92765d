from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission
from tenants.errors import InvalidName, TenantNotFound
from tenants.models import AuditEntry, Tenant
from tenants.people.suspension import suspend_tenant
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

pytestmark = pytest.mark.django_db

QUESTION = (
    "This blocks sign-in for 0 people in acme until you run `scaiwave admin resume-tenant acme`; "
    "syncs do not change this."
)


suspend = partial(
    suspend_tenant,
    operator=HOST_OPERATOR,
    name="acme",
    reason="unpaid",
    confirm=lambda question: None,
    now=NOW,
)


def test_success_suspended_and_audited() -> None:
    make_tenant()
    result = suspend()
    tenant, entry = Tenant.objects.get(), AuditEntry.objects.get()
    assert (tenant.suspended_by_hand_at, tenant.updated_at) == (NOW, NOW)
    assert tenant.inactive_reason == "suspended manually"
    assert (entry.action, entry.tenant_id) == ("suspend-tenant", str(tenant.pk))
    assert entry.details == {"reason": "unpaid"}
    assert result.subject["status"] == "suspended"


@pytest.mark.parametrize(("people", "blocked"), [(1, "1 person"), (3, "all 3 people")])
def test_success_question_counts_the_people_who_can_sign_in(people: int, blocked: str) -> None:
    tenant = make_tenant()
    for number in range(people):
        make_person(tenant, f"person-{number}")
    make_person(tenant, "left", absent_since=NOW)
    make_person(make_tenant("other"), "elsewhere")
    questions: list[str] = []
    suspend(confirm=questions.append)
    assert questions == [QUESTION.replace("0 people", blocked)]


def test_success_tenant_that_is_suspended_in_scaikey() -> None:
    make_tenant(scaikey_status="SUSPENDED")
    assert suspend().changed


def test_success_repeated_changes_nothing_without_a_prompt() -> None:
    make_tenant(suspended_by_hand_at=EARLIER)
    questions: list[str] = []
    assert not suspend(confirm=questions.append).changed
    assert questions == []
    assert Tenant.objects.get().suspended_by_hand_at == EARLIER
    assert not AuditEntry.objects.exists()


def test_success_suspended_concurrently() -> None:
    make_tenant()
    inner: list[Change] = []
    assert not suspend(confirm=lambda question: inner.append(suspend())).changed
    assert (inner[0].changed, AuditEntry.objects.count()) == (True, 1)


def test_success_command() -> None:
    make_tenant()
    assert run_command("suspend_tenant", "acme", "--dry-run") == "Would suspend tenant acme.\n"
    assert not AuditEntry.objects.exists()
    shown = run_command("suspend_tenant", "acme", "--reason", "unpaid", "--no-input")
    assert shown == "Tenant acme suspended.\n"
    assert run_command("suspend_tenant", "acme") == "Tenant acme is already suspended (manually).\n"
    document = json.loads(run_command("suspend_tenant", "acme", "--json"))
    assert (document["changed"], document["tenant"]["status"]) == (False, "suspended")


def test_fail_no_terminal_or_declined() -> None:
    def no(question: str) -> None:
        assert question == QUESTION
        raise ConfirmationDeclined("Cancelled. No changes were made.")

    make_tenant()
    with pytest.raises(ConfirmationNeeded) as caught:
        run_command("suspend_tenant", "acme")
    assert caught.value.message == f"Confirmation required: {QUESTION} Continue?"
    with pytest.raises(ConfirmationDeclined):
        suspend(confirm=no)
    assert Tenant.objects.get().is_active


def test_fail_invalid_reason() -> None:
    make_tenant()
    for reason in ("a\nb", "a" * 1001):
        with pytest.raises(InvalidName) as caught:
            suspend(reason=reason)
        assert caught.value.message == "The reason is too long or can't be printed."


def test_fail_outside_the_scope_or_not_allowed() -> None:
    tenant = make_tenant()
    with pytest.raises(TenantNotFound):
        suspend(operator=make_partner_admin(make_partner()))
    for operator in (READ_ONLY_OPERATOR, make_tenant_admin(tenant)):
        with pytest.raises(InsufficientPermission):
            suspend(operator=operator)
    assert Tenant.objects.get().is_active
