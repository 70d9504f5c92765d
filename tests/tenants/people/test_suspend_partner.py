from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission
from tenants.errors import InvalidName, LastSuperAdmin, PartnerNotFound
from tenants.lookup.sign_in_blockers import sign_in_blockers
from tenants.models import AuditEntry, Participant, Partner
from tenants.people.suspension import suspend_partner
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

QUESTION = (
    "This blocks sign-in for 0 people in 0 tenants of partner northwind until you run `scaiwave "
    "admin resume-partner northwind`; syncs do not change this."
)


suspend = partial(
    suspend_partner,
    operator=HOST_OPERATOR,
    name="northwind",
    reason="unpaid",
    confirm=lambda question: None,
    now=NOW,
)


def test_success_suspended_and_audited() -> None:
    person = make_person(make_tenant(partner=make_partner()))
    assert sign_in_blockers(person) == []
    result = suspend()
    partner, entry = Partner.objects.get(), AuditEntry.objects.get()
    assert (partner.suspended_by_hand_at, partner.updated_at) == (NOW, NOW)
    assert (entry.action, entry.subject_id, entry.subject_name) == (
        "suspend-partner",
        str(partner.pk),
        "northwind",
    )
    assert (entry.tenant_id, entry.details) == ("", {"reason": "unpaid"})
    assert (result.subject["status"], result.subject["reason"]) == (
        "suspended",
        "suspended manually",
    )
    person = Participant.objects.get()
    assert [blocker["fix"] for blocker in sign_in_blockers(person)] == [
        "Run `scaiwave admin resume-partner northwind`; a sync can't lift the suspension."
    ]


def test_success_question_counts_the_people_who_can_sign_in() -> None:
    partner = make_partner()
    acme, lab = make_tenant("acme", partner=partner), make_tenant("lab", partner=partner)
    make_person(acme), make_person(acme, "berta"), make_person(lab)
    make_person(acme, "left", absent_since=NOW)
    make_person(make_tenant("idle", partner=partner, suspended_by_hand_at=NOW))
    make_person(make_tenant("other"), "elsewhere")
    questions: list[str] = []
    suspend(confirm=questions.append)
    assert questions == [QUESTION.replace("0 people in 0", "3 people in 2")]


def test_success_repeated_changes_nothing_without_a_prompt() -> None:
    make_partner(suspended_by_hand_at=EARLIER)
    questions: list[str] = []
    assert not suspend(confirm=questions.append).changed
    assert questions == []
    assert Partner.objects.get().suspended_by_hand_at == EARLIER
    assert not AuditEntry.objects.exists()


def test_success_suspended_concurrently() -> None:
    make_partner()
    inner: list[Change] = []
    assert not suspend(confirm=lambda question: inner.append(suspend())).changed
    assert (inner[0].changed, AuditEntry.objects.count()) == (True, 1)


def test_success_command() -> None:
    make_partner()
    words = ("suspend_partner", "northwind")
    assert run_command(*words, "--dry-run") == "Would suspend partner northwind.\n"
    assert not AuditEntry.objects.exists()
    shown = run_command(*words, "--reason", "unpaid", "--no-input")
    assert shown == "Partner northwind suspended.\n"
    assert run_command(*words) == "Partner northwind is already suspended (manually).\n"
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document["partner"]["status"]) == (False, "suspended")


def test_success_a_partner_without_a_slug_is_named_by_its_scaikey_id() -> None:
    make_partner("", scaikey_id="prt_9", name="Nine")
    assert suspend(name="prt_9").sentence == "Partner prt_9 suspended."


@pytest.mark.parametrize("dry_run", [True, False])
def test_fail_the_partner_of_the_last_super_admin(dry_run: bool) -> None:
    partner = make_partner()
    person = make_person(make_tenant(partner=partner))
    make_grant(make_role(person.tenant, "super_admin", is_built_in=True), person)
    with pytest.raises(LastSuperAdmin) as caught:
        suspend(dry_run=dry_run, confirm=pytest.fail)
    assert caught.value.message == "No super_admin who can sign in would remain."
    assert caught.value.fix.startswith("Grant it to a person of another partner first: ")
    assert not AuditEntry.objects.exists()
    other = make_person(make_tenant("globex"))
    make_grant(make_role(other.tenant, "super_admin", is_built_in=True), other)
    suspend(dry_run=dry_run)


def test_fail_no_terminal_or_declined() -> None:
    def no(question: str) -> None:
        assert question == QUESTION
        raise ConfirmationDeclined("Cancelled. No changes were made.")

    make_partner()
    with pytest.raises(ConfirmationNeeded):
        run_command("suspend_partner", "northwind")
    with pytest.raises(ConfirmationDeclined):
        suspend(confirm=no)
    assert Partner.objects.get().is_active


def test_fail_invalid_reason_or_name() -> None:
    make_partner()
    with pytest.raises(InvalidName):
        suspend(reason="a\nb")
    with pytest.raises(PartnerNotFound):
        suspend(name="west")


def test_fail_not_allowed() -> None:
    partner = make_partner()
    tenant = make_tenant(partner=partner)
    for operator in (READ_ONLY_OPERATOR, make_partner_admin(partner), make_tenant_admin(tenant)):
        with pytest.raises(InsufficientPermission):
            suspend(operator=operator)
    assert Partner.objects.get().is_active
