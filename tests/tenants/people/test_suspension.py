"""Suspensions of tenants, partners and participants, and their ends: first how all three behave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.errors import ConfirmationNeeded
from tenants.errors import InvalidName, LastSuperAdmin, PartnerNotFound, SuperAdminOnly
from tenants.lookup.sign_in_blockers import sign_in_blockers
from tenants.models import AuditEntry, Participant, Partner, Role, Tenant
from tenants.people.suspension import (
    resume_participant,
    resume_partner,
    resume_tenant,
    suspend_participant,
    suspend_partner,
    suspend_tenant,
)
from tests.refusals import decline, refuses
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    add_members,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    run_command,
)
from tests.tenants.role_factories import make_grant, make_role

pytestmark = pytest.mark.django_db

FQID = "@anna.acme:localhost"


@dataclass(frozen=True)
class Kind:
    """What differs between the three: their services, names and words."""

    noun: str
    make: Callable[..., Any]
    suspend_service: Callable[..., Any]
    resume_service: Callable[..., Any]
    name: str
    shown: str
    effect: str
    still: str = "but it is still"
    state: str = "; it is"

    @property
    def title(self) -> str:
        return f"{self.noun.title()} {self.shown}"

    @property
    def question(self) -> str:
        return (
            f"This blocks {self.effect} until you run `scaiwave admin resume-{self.noun} "
            f"{self.shown}`; syncs do not change this."
        )

    def suspend(self, **changes: Any) -> Any:
        changes = {"reason": "unpaid", "confirm": lambda question: None, **changes}
        return self._run(self.suspend_service, changes)

    def resume(self, **changes: Any) -> Any:
        return self._run(self.resume_service, {"reason": "", **changes})

    def _run(self, service: Callable[..., Any], changes: dict[str, Any]) -> Any:
        return service(**{"operator": HOST_OPERATOR, "name": self.name, "now": NOW, **changes})


def make_anna(**fields: Any) -> Participant:
    return make_person(make_tenant(), **fields)


TENANT = Kind(
    *("tenant", make_tenant, suspend_tenant, resume_tenant, "acme", "acme"),
    effect="sign-in for 0 people in acme",
)
PARTNER = Kind(
    *("partner", make_partner, suspend_partner, resume_partner, "northwind", "northwind"),
    effect="sign-in for 0 people in 0 tenants of partner northwind",
)
PARTICIPANT = Kind(
    *("participant", make_anna, suspend_participant, resume_participant),
    *("anna@acme.example", FQID),
    effect=f"Anna ({FQID})",
    still="but is still",
    state=", but",
)
KINDS = [TENANT, PARTNER, PARTICIPANT]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.noun for kind in KINDS])


@every_kind
def test_success_suspended_and_audited(kind: Kind) -> None:
    made = kind.make()
    row = kind.suspend().document()[kind.noun]
    made.refresh_from_db()
    entry = AuditEntry.objects.get()
    assert (made.suspended_by_hand_at, made.updated_at) == (NOW, NOW)
    assert made.inactive_reason == "suspended manually"
    assert (entry.action, entry.details) == (f"suspend-{kind.noun}", {"reason": "unpaid"})
    assert (entry.subject_type, entry.subject_id) == (kind.noun, str(made.pk))
    tenants = {"tenant": made.pk, "partner": "", "participant": getattr(made, "tenant_id", None)}
    assert entry.tenant_id == str(tenants[kind.noun])
    assert (row["status"], row["reason"]) == ("suspended", "suspended manually")
    assert row["suspended_manually_at"] == NOW


@every_kind
def test_success_repeated_changes_nothing_without_a_prompt(kind: Kind) -> None:
    made = kind.make(suspended_by_hand_at=EARLIER)
    questions: list[str] = []
    assert not kind.suspend(confirm=questions.append).changed
    made.refresh_from_db()
    assert (questions, made.suspended_by_hand_at) == ([], EARLIER)
    assert not AuditEntry.objects.exists()


@every_kind
def test_success_suspended_concurrently(kind: Kind) -> None:
    kind.make()
    inner: list[Any] = []
    assert not kind.suspend(confirm=lambda question: inner.append(kind.suspend())).changed
    assert (inner[0].changed, AuditEntry.objects.count()) == (True, 1)


@every_kind
def test_success_command(kind: Kind) -> None:
    kind.make()
    words = (f"suspend_{kind.noun}", kind.name)
    assert run_command(*words, "--dry-run") == f"Would suspend {kind.noun} {kind.shown}.\n"
    assert not AuditEntry.objects.exists()
    shown = run_command(*words, "--reason", "unpaid", "--no-input")
    assert shown == f"{kind.title} suspended.\n"
    assert run_command(*words) == f"{kind.title} is already suspended (manually).\n"
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document[kind.noun]["status"]) == (False, "suspended")


@every_kind
def test_fail_no_terminal_or_declined(kind: Kind) -> None:
    made = kind.make()
    with refuses(ConfirmationNeeded, f"Confirmation required: {kind.question} Continue?"):
        run_command(f"suspend_{kind.noun}", kind.name)
    with refuses(ConfirmationDeclined, kind.question):
        kind.suspend(confirm=decline)
    made.refresh_from_db()
    assert made.is_active


@every_kind
@pytest.mark.parametrize("reason", ["a\nb", "a" * 1001], ids=["two lines", "too long"])
def test_fail_invalid_reason(kind: Kind, reason: str) -> None:
    kind.make()
    with refuses(InvalidName, "The reason is too long or can't be printed."):
        kind.suspend(reason=reason)


@every_kind
def test_success_active_again_and_audited(kind: Kind) -> None:
    made = kind.make(suspended_by_hand_at=EARLIER)
    result = kind.resume(reason="paid")
    made.refresh_from_db()
    entry = AuditEntry.objects.get()
    assert (made.is_active, made.updated_at) == (True, NOW)
    assert (entry.action, entry.subject_id) == (f"resume-{kind.noun}", str(made.pk))
    assert entry.details == {
        "reason": "paid",
        "suspended_by_hand_at": "2026-11-01T08:30:00+00:00",
    }
    assert result.sentence == f"{kind.title} resumed."


@every_kind
def test_success_resumed_after_its_removal(kind: Kind) -> None:
    kind.make(suspended_by_hand_at=EARLIER, absent_since=EARLIER)
    still = kind.still.replace("is still", "was")
    sentence = f"{kind.title} resumed, {still} removed from ScaiKey on 2026-11-01."
    assert kind.resume().sentence == sentence


@every_kind
def test_success_status_of_scaikey_applies_again(kind: Kind) -> None:
    kind.make(scaikey_status="SUSPENDED")
    assert kind.suspend().changed
    assert kind.resume().sentence == f"{kind.title} resumed, {kind.still} suspended in ScaiKey."
    assert kind.resume().sentence == (
        f"{kind.title} is not suspended manually{kind.state} suspended in ScaiKey."
    )
    assert AuditEntry.objects.count() == 2


@every_kind
def test_success_command_that_resumes(kind: Kind) -> None:
    kind.make(suspended_by_hand_at=EARLIER)
    words = (f"resume_{kind.noun}", kind.name)
    assert run_command(*words, "--dry-run") == f"Would resume {kind.noun} {kind.shown}.\n"
    assert not AuditEntry.objects.exists()
    assert run_command(*words, "--reason=paid") == f"{kind.title} resumed.\n"
    assert run_command(*words) == f"{kind.title} is not suspended manually{kind.state} active.\n"
    document = json.loads(run_command(*words, "--json"))
    assert (document["changed"], document[kind.noun]["status"]) == (False, "active")


@pytest.mark.parametrize(("people", "blocked"), [(1, "1 person"), (3, "all 3 people")])
def test_success_question_counts_people_of_a_tenant_who_can_sign_in(
    people: int, blocked: str, tenant: Tenant
) -> None:
    for number in range(people):
        make_person(tenant, f"person-{number}")
    make_person(tenant, "left", absent_since=NOW)
    make_person(make_tenant("other"), "elsewhere")
    questions: list[str] = []
    TENANT.suspend(confirm=questions.append)
    assert questions == [TENANT.question.replace("0 people", blocked)]


def test_success_question_counts_people_of_a_partner_who_can_sign_in(partner: Partner) -> None:
    acme, lab = make_tenant("acme", partner=partner), make_tenant("lab", partner=partner)
    make_person(acme), make_person(acme, "berta"), make_person(lab)
    make_person(acme, "left", absent_since=NOW)
    make_person(make_tenant("idle", partner=partner, suspended_by_hand_at=NOW))
    make_person(make_tenant("other"), "elsewhere")
    questions: list[str] = []
    PARTNER.suspend(confirm=questions.append)
    assert questions == [PARTNER.question.replace("0 people in 0", "3 people in 2")]


def test_success_the_sign_in_blocker_of_a_suspended_partner_has_a_fix() -> None:
    person = make_person(make_tenant(partner=make_partner()))
    assert sign_in_blockers(person) == []
    PARTNER.suspend()
    assert [blocker["fix"] for blocker in sign_in_blockers(Participant.objects.get())] == [
        "Run `scaiwave admin resume-partner northwind`; a sync can't lift the suspension."
    ]


def test_success_a_partner_without_a_slug_is_named_by_its_scaikey_id() -> None:
    make_partner("", scaikey_id="prt_9", name="Nine")
    assert PARTNER.suspend(name="prt_9").sentence == "Partner prt_9 suspended."
    with pytest.raises(PartnerNotFound):
        PARTNER.suspend(name="west")


def test_success_a_participant_by_every_name_and_in_one_tenant() -> None:
    anna = make_anna()
    namesake = make_person(make_tenant("globex"), email="anna@acme.example")
    PARTICIPANT.suspend(tenant="acme")
    assert Participant.objects.exclude(suspended_by_hand_at=None).get() == anna
    for name in (namesake.local_id, f"@{namesake.local_id}", namesake.scaikey_id, namesake.pk.hex):
        Participant.objects.update(suspended_by_hand_at=None)
        assert PARTICIPANT.suspend(name=name).changed
        assert Participant.objects.exclude(suspended_by_hand_at=None).get() == namesake


@pytest.mark.parametrize(
    "fields", [{"absent_since": EARLIER}, {"participant_type": "agent", "scaikey_id": None}]
)
def test_success_a_participant_that_is_inactive_or_not_a_person(fields: dict[str, Any]) -> None:
    make_anna(**fields)
    assert PARTICIPANT.suspend().changed
    assert Participant.objects.get().status == "suspended"


def test_success_a_suspended_participant_is_shown_and_listed() -> None:
    anna = make_anna()
    make_person(anna.tenant, "bert")
    PARTICIPANT.suspend()
    shown = json.loads(run_command("show_participant", str(anna.pk), "--json"))["participant"]
    assert (shown["status"], shown["reason"]) == ("suspended", "suspended manually")
    assert shown["can_sign_in"] is False
    assert [entry["action"] for entry in shown["audit_entries"]] == ["suspend-participant"]
    listing = ("list_participants", "--tenant", "acme", "--json", "--status")
    for status, names in (("suspended", ["Anna"]), ("inactive", ["Anna"]), ("active", ["Bert"])):
        rows = json.loads(run_command(*listing, status))["participants"]
        assert [row["display_name"] for row in rows] == names


def test_success_a_removed_person_who_is_suspended_shows_both() -> None:
    anna = make_anna(absent_since=EARLIER, scaikey_status="LOCKED")
    PARTICIPANT.suspend()
    both = f"suspended manually and removed from ScaiKey on {EARLIER:%Y-%m-%d}"
    shown = json.loads(run_command("show_participant", str(anna.pk), "--json"))["participant"]
    assert (shown["status"], shown["reason"]) == ("suspended", both)
    assert [row["reason"] for row in shown["sign_in_blockers"]][:2] == [
        "the person is suspended manually",
        "the person is removed from ScaiKey",
    ]
    for status, reasons in (("suspended", [both]), ("deactivated", [])):
        words = ("list_participants", "--tenant=acme", "--json", f"--status={status}")
        rows = json.loads(run_command(*words))["participants"]
        assert [row["reason"] for row in rows] == reasons
    Participant.objects.update(absent_since=None)
    assert Participant.objects.get().inactive_reason == "suspended manually and locked in ScaiKey"


def make_super_admin(tenant: Tenant, name: str = "anna", **fields: Any) -> Participant:
    person = make_person(tenant, name, **fields)
    make_grant(make_role(tenant, "super_admin", is_built_in=True), person)
    return person


@pytest.mark.parametrize("through_group", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_the_last_super_admin(through_group: bool, dry_run: bool) -> None:
    anna = make_anna()
    role = make_role(anna.tenant, "super_admin", is_built_in=True)
    if through_group:
        group = make_group(anna.tenant)
        add_members(group, anna)
        make_grant(role, group)
    else:
        make_grant(role, anna)
    with pytest.raises(LastSuperAdmin) as caught:
        PARTICIPANT.suspend(dry_run=dry_run)
    assert caught.value.message == "No active super_admin would remain."
    assert caught.value.fix == (
        "Grant it to another person first: `scaiwave role grant super_admin --tenant <slug> --to "
        "<who>`."
    )
    assert Participant.objects.get().is_active
    make_grant(role, make_person(anna.tenant, "bert"))
    assert PARTICIPANT.suspend().changed


@pytest.mark.parametrize("dry_run", [True, False])
def test_fail_the_partner_of_the_last_super_admin(dry_run: bool) -> None:
    make_super_admin(make_tenant(partner=make_partner()))
    with refuses(LastSuperAdmin, "No super_admin who can sign in would remain.") as caught:
        PARTNER.suspend(dry_run=dry_run, confirm=pytest.fail)
    assert caught.value.fix.startswith("Grant it to a person of another partner first: ")
    assert not AuditEntry.objects.exists()
    make_super_admin(make_tenant("globex"))
    PARTNER.suspend(dry_run=dry_run)


def test_fail_a_partner_admin_and_a_super_admin(partner: Partner) -> None:
    tenant, operator = make_tenant(partner=partner), make_partner_admin(partner)
    make_super_admin(tenant)
    make_grant(Role.objects.get(), make_person(tenant, "bert"))
    with refuses(SuperAdminOnly, "paula (partner_admin) can't suspend or resume a super_admin."):
        PARTICIPANT.suspend(operator=operator)
    make_person(tenant, "cleo")
    assert PARTICIPANT.suspend(operator=operator, name="cleo@acme.example").changed
    PARTICIPANT.suspend()
    with pytest.raises(SuperAdminOnly):
        PARTICIPANT.resume(operator=operator)
    assert Participant.objects.get(scaikey_id__startswith="usr_anna").suspended_by_hand_at == NOW
