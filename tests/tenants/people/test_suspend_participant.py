from __future__ import annotations

import json
from typing import Any

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission
from tenants.errors import InvalidName, LastSuperAdmin, ParticipantNotFound, SuperAdminOnly
from tenants.models import AuditEntry, Participant
from tenants.people.suspension import suspend_participant
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    add_members,
    make_group,
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
QUESTION = (
    f"This blocks Anna ({FQID}) until you run `scaiwave admin resume-participant {FQID}`; syncs do "
    "not change this."
)


def suspend(**changes: Any) -> Change:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "name": "anna@acme.example",
        "reason": "lost laptop",
        "confirm": lambda question: None,
        "now": NOW,
    }
    return suspend_participant(**{**arguments, **changes})


def test_success_suspended_and_audited() -> None:
    make_person(make_tenant())
    result = suspend()
    anna, entry = Participant.objects.get(), AuditEntry.objects.get()
    assert (anna.suspended_by_hand_at, anna.updated_at) == (NOW, NOW)
    assert anna.inactive_reason == "suspended manually"
    assert (entry.action, entry.tenant_id) == ("suspend-participant", str(anna.tenant_id))
    assert (entry.subject_type, entry.subject_id) == ("participant", str(anna.pk))
    assert entry.details == {"reason": "lost laptop"}
    assert result.subject["status"] == "suspended"
    assert result.subject["suspended_manually_at"] == NOW


def test_success_by_every_name_and_in_one_tenant() -> None:
    anna = make_person(make_tenant())
    namesake = make_person(make_tenant("globex"), email="anna@acme.example")
    suspend(tenant="acme")
    assert Participant.objects.exclude(suspended_by_hand_at=None).get() == anna
    for name in (namesake.local_id, f"@{namesake.local_id}", namesake.scaikey_id, namesake.pk.hex):
        Participant.objects.update(suspended_by_hand_at=None)
        assert suspend(name=name).changed
        assert Participant.objects.exclude(suspended_by_hand_at=None).get() == namesake


@pytest.mark.parametrize(
    "fields",
    [
        {"scaikey_status": "SUSPENDED"},
        {"absent_since": EARLIER},
        {"participant_type": "agent", "scaikey_id": None},
    ],
)
def test_success_also_one_that_is_inactive_or_not_a_person(fields: dict[str, Any]) -> None:
    make_person(make_tenant(), **fields)
    assert suspend().changed
    assert Participant.objects.get().status == "suspended"


def test_success_again_does_not_ask_and_changes_nothing() -> None:
    make_person(make_tenant(), suspended_by_hand_at=EARLIER)
    questions: list[str] = []
    assert not suspend(confirm=questions.append).changed
    assert questions == []
    assert Participant.objects.get().suspended_by_hand_at == EARLIER
    assert not AuditEntry.objects.exists()


def test_success_suspended_concurrently() -> None:
    make_person(make_tenant())
    inner: list[Change] = []
    assert not suspend(confirm=lambda question: inner.append(suspend())).changed
    assert (inner[0].changed, AuditEntry.objects.count()) == (True, 1)


def test_success_command() -> None:
    make_person(make_tenant())
    words = ("suspend_participant", "anna@acme.example")
    assert run_command(*words, "--dry-run") == f"Would suspend participant {FQID}.\n"
    assert not AuditEntry.objects.exists()
    shown = run_command(*words, "--reason", "lost laptop", "--yes")
    assert shown == f"Participant {FQID} suspended.\n"
    assert run_command(*words) == f"Participant {FQID} is already suspended (manually).\n"
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document["participant"]["status"]) == (False, "suspended")


def test_success_shown_and_listed() -> None:
    anna = make_person(make_tenant())
    make_person(anna.tenant, "bert")
    suspend()
    shown = json.loads(run_command("show_participant", str(anna.pk), "--json"))["participant"]
    assert (shown["status"], shown["reason"]) == ("suspended", "suspended manually")
    assert shown["can_sign_in"] is False
    assert [entry["action"] for entry in shown["audit_entries"]] == ["suspend-participant"]
    listing = ("list_participants", "--tenant", "acme", "--json", "--status")
    for status, names in (("suspended", ["Anna"]), ("inactive", ["Anna"]), ("active", ["Bert"])):
        rows = json.loads(run_command(*listing, status))["participants"]
        assert [row["display_name"] for row in rows] == names


def test_fail_no_terminal_or_declined() -> None:
    def decline(question: str) -> None:
        assert question == QUESTION
        raise ConfirmationDeclined("Cancelled. No changes were made.")

    make_person(make_tenant())
    with pytest.raises(ConfirmationNeeded) as caught:
        run_command("suspend_participant", "anna@acme.example")
    assert caught.value.message == f"Confirmation required: {QUESTION} Continue?"
    with pytest.raises(ConfirmationDeclined):
        suspend(confirm=decline)
    assert Participant.objects.get().is_active


def test_fail_reason_that_is_not_a_line() -> None:
    make_person(make_tenant())
    with pytest.raises(InvalidName):
        suspend(reason="a\nb")


def test_fail_outside_the_scope_or_not_allowed() -> None:
    anna = make_person(make_tenant())
    with pytest.raises(ParticipantNotFound):
        suspend(operator=make_partner_admin(make_partner()))
    for operator in (READ_ONLY_OPERATOR, make_tenant_admin(anna.tenant)):
        with pytest.raises(InsufficientPermission):
            suspend(operator=operator)
    assert Participant.objects.get().is_active


@pytest.mark.parametrize("through_group", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_the_last_super_admin(through_group: bool, dry_run: bool) -> None:
    anna = make_person(make_tenant())
    role = make_role(anna.tenant, "super_admin", is_built_in=True)
    if through_group:
        group = make_group(anna.tenant)
        add_members(group, anna)
        make_grant(role, group)
    else:
        make_grant(role, anna)
    with pytest.raises(LastSuperAdmin) as caught:
        suspend(dry_run=dry_run)
    assert caught.value.message == "No active super_admin would remain."
    assert caught.value.fix == (
        "Grant it to another person first: `scaiwave role grant super_admin --tenant <slug> --to "
        "<who>`."
    )
    assert Participant.objects.get().is_active
    make_grant(role, make_person(anna.tenant, "bert"))
    assert suspend().changed


def test_fail_a_partner_admin_and_a_super_admin() -> None:
    tenant = make_tenant(partner=make_partner())
    role = make_role(tenant, "super_admin", is_built_in=True)
    for name in ("anna", "bert"):
        make_grant(role, make_person(tenant, name))
    assert tenant.partner is not None
    operator = make_partner_admin(tenant.partner)
    with pytest.raises(SuperAdminOnly) as caught:
        suspend(operator=operator)
    assert caught.value.message == "paula (partner_admin) can't suspend or resume a super_admin."
    make_person(tenant, "cleo")
    assert suspend(operator=operator, name="cleo@acme.example").changed
