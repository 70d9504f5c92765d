"""Suspend and resume many: all are checked first, then changed in batches, with a row for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core import bulk
from scaiwave.core.bulk import BulkResult, RowsFailed
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission, UsageError
from tenants.errors import LastSuperAdmin, TenantNotFound
from tenants.lookup.resolve import look_up_participant
from tenants.models import AuditEntry, Participant, Partner, Tenant
from tenants.people.suspension import PARTICIPANT, PARTNER, TENANT, resume_many, suspend_many
from tests.refusals import decline
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


def suspend(*names: str, rules: Any = PARTICIPANT, **changes: Any) -> BulkResult:
    options = {"operator": HOST_OPERATOR, "reason": "left", "now": NOW, "confirm": print}
    return suspend_many(rules, names=names, **{**options, **changes})


def resume(*names: str, rules: Any = PARTICIPANT, **changes: Any) -> BulkResult:
    options = {"operator": HOST_OPERATOR, "reason": "", "now": NOW}
    return resume_many(rules, names=names, **{**options, **changes})


def make_people(tenant: Tenant, number: int) -> list[Participant]:
    return Participant.objects.bulk_create(
        Participant(
            tenant=tenant,
            local_id=f"p{each}",
            scaikey_id=f"usr_{each}",
            email=f"p{each}@acme.example",
            display_name=f"Person {each}",
            created_at=EARLIER,
            updated_at=EARLIER,
        )
        for each in range(number)
    )


def count_suspended() -> int:
    return Participant.objects.exclude(suspended_by_hand_at=None).count()


def test_success_one_question_and_a_row_for_each(tenant: Tenant) -> None:
    anna, bert, cleo = (make_person(tenant, name) for name in ("anna", "bert", "cleo"))
    Participant.objects.filter(pk=bert.pk).update(suspended_by_hand_at=EARLIER)
    questions: list[str] = []
    names = (f"@{anna.local_id}", "BERT@acme.example", str(cleo.pk))
    result = suspend(*names, confirm=questions.append)
    assert questions == [
        "This blocks 2 participants (Anna (@anna.acme:localhost), Cleo (@cleo.acme:localhost)) "
        "until you run `scaiwave admin resume-participant NAME`; syncs do not change this."
    ]
    document = result.document()
    assert [(row["name"], row["changed"], row["error"]) for row in document["results"]] == [
        (names[0], True, None),
        (names[1], False, None),
        (names[2], True, None),
    ]
    assert document["changed"] is True
    assert {row["participant"]["status"] for row in document["results"]} == {"suspended"}
    entries = AuditEntry.objects.order_by("pk")
    assert [(entry.action, entry.subject_id) for entry in entries] == [
        ("suspend-participant", str(anna.pk)),
        ("suspend-participant", str(cleo.pk)),
    ]
    assert entries[0].details == {"reason": "left"}
    again = suspend(*names, confirm=pytest.fail)
    assert (again.document()["changed"], AuditEntry.objects.count()) == (False, 2)
    assert again.lines[0] == "Participant @anna.acme:localhost is already suspended (manually)."
    resume(*names, confirm=questions.append)
    assert questions[1] == (
        "This resumes 3 participants (Anna (@anna.acme:localhost), Bert (@bert.acme:localhost), "
        "Cleo (@cleo.acme:localhost))."
    )
    assert count_suspended() == 0
    last = AuditEntry.objects.order_by("pk").last()
    assert last is not None
    assert last.details == {"reason": "", "suspended_by_hand_at": NOW.isoformat()}


@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_a_wrong_row_and_nothing_is_written(dry_run: bool, anna: Participant) -> None:
    make_person(make_tenant("globex"), "cleo", email="twin@x")
    make_person(anna.tenant, "dora", email="twin@x")
    result = suspend(anna.scaikey_id or "", "zoe", "twin@x", confirm=pytest.fail, dry_run=dry_run)
    with pytest.raises(RowsFailed) as caught:
        result.require_complete()
    assert caught.value.message == ("2 of 3 failed: zoe, twin@x. No changes were made.")
    assert (caught.value.exit_code, caught.value.code) == (1, "SW_ROWS_FAILED")
    first, *wrong = result.document()["results"]
    assert first == {"name": anna.scaikey_id, "participant": None, "changed": False, "error": None}
    assert [row["error"]["code"] for row in wrong] == [
        "SW_PARTICIPANT_NOT_FOUND",
        "SW_NAME_AMBIGUOUS",
    ]
    assert result.lines[0] == "zoe: Participant not found: zoe. [SW_PARTICIPANT_NOT_FOUND]"
    assert (count_suspended(), AuditEntry.objects.count()) == (0, 0)


def test_success_one_record_under_several_names_is_one_row(anna: Participant) -> None:
    result = suspend(str(anna.pk), "anna@acme.example", str(anna.pk))
    assert [row.name for row in result.rows] == [str(anna.pk)]
    assert AuditEntry.objects.count() == 1


def test_success_dry_run() -> None:
    make_people(make_tenant(), 3)
    result = suspend("p0", "p1", dry_run=True, confirm=pytest.fail)
    assert result.lines[0] == "Would suspend participant @p0:localhost."
    assert result.document()["changed"] is True
    assert count_suspended() == 0


def test_success_tenants_and_partners_are_counted_with_their_people() -> None:
    north = make_partner()
    acme, lab = make_tenant("acme", partner=north), make_tenant("lab", partner=make_partner("west"))
    for tenant in (acme, acme, lab):
        make_person(tenant, f"p{Participant.objects.count()}")
    questions: list[str] = []
    suspend("acme", "lab", rules=TENANT, confirm=questions.append)
    assert "sign-in for 3 people in 2 tenants (acme, lab) until" in questions[0]
    assert Tenant.objects.exclude(suspended_by_hand_at=None).count() == 2
    assert resume("acme", "lab", rules=TENANT).document()["changed"]
    suspend("northwind", "prt_west", rules=PARTNER, confirm=questions.append)
    assert "sign-in for 3 people in 2 tenants of 2 partners (northwind, west) until" in questions[1]
    assert Partner.objects.exclude(suspended_by_hand_at=None).count() == 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_the_last_super_admins_in_a_set(dry_run: bool, tenant: Tenant) -> None:
    """Each of them could be suspended alone."""
    role = make_role(tenant, "super_admin", is_built_in=True)
    people = [make_person(tenant, name) for name in ("anna", "bert", "cleo")]
    for person in people[:2]:
        make_grant(role, person)
    names = [str(person.pk) for person in people]
    with pytest.raises(LastSuperAdmin) as caught:
        suspend(*names, dry_run=dry_run, confirm=pytest.fail)
    assert caught.value.message == (
        "No active super_admin would remain without Anna (@anna.acme:localhost), Bert "
        "(@bert.acme:localhost)."
    )
    assert count_suspended() == 0
    assert suspend(*names[1:], dry_run=dry_run).document()["changed"]


def test_fail_the_tenants_and_the_partners_of_the_last_super_admins() -> None:
    for slug in ("a", "b"):
        tenant = make_tenant(slug, partner=make_partner(f"p{slug}"))
        make_grant(make_role(tenant, "super_admin", is_built_in=True), make_person(tenant))
    make_tenant("c", partner=make_partner("pc"))
    with pytest.raises(LastSuperAdmin, match=r"remain without a, b\.$"):
        suspend("a", "b", "c", rules=TENANT, confirm=pytest.fail)
    with pytest.raises(LastSuperAdmin, match=r"remain without pa, pb\.$"):
        suspend("pa", "pb", "pc", rules=PARTNER, confirm=pytest.fail)
    assert suspend("a", rules=TENANT).document()["changed"]


def test_fail_the_last_super_admin_was_lost_between_two_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first batch stays, and the rest has an error by row."""
    monkeypatch.setattr(bulk, "BATCH_SIZE", 2)
    acme = make_tenant()
    people = make_people(acme, 4)
    role = make_role(acme, "super_admin", is_built_in=True)
    make_grant(role, people[3])
    other = make_grant(role, make_person(acme))
    names = [person.local_id for person in people]
    result = suspend(*names, confirm=lambda question: [other.delete()])
    assert [row.error and row.error.code for row in result.rows] == [
        *(None, None, "SW_ROLE_LAST_SUPER_ADMIN", "SW_ROLE_LAST_SUPER_ADMIN")
    ]
    assert (count_suspended(), AuditEntry.objects.count()) == (2, 2)
    with pytest.raises(RowsFailed, match="The others are done"):
        result.require_complete()


def test_fail_permissions_by_row() -> None:
    north = make_partner()
    acme, globex = make_tenant("acme", partner=north), make_tenant("globex")
    anna, cleo = make_person(acme), make_person(globex, "cleo")
    make_grant(make_role(acme, "super_admin", is_built_in=True), anna)
    make_person(acme, "bert")
    names = ("anna@acme.example", "bert@acme.example", str(cleo.pk))
    result = suspend(*names, operator=make_partner_admin(north), confirm=pytest.fail)
    assert [row.error and row.error.code for row in result.rows] == [
        *("SW_ROLE_SUPER_ADMIN_ONLY", None, "SW_PARTICIPANT_NOT_FOUND")
    ]
    for operator in (make_tenant_admin(acme), READ_ONLY_OPERATOR):
        with pytest.raises(InsufficientPermission):
            suspend(*names, operator=operator)
        with pytest.raises(InsufficientPermission):
            resume(*names, operator=operator)
    with pytest.raises(InsufficientPermission):
        suspend("northwind", "west", rules=PARTNER, operator=make_partner_admin(north))
    assert count_suspended() == 0


def test_success_few_queries_for_10000_names() -> None:
    people = make_people(make_tenant(), 10_000)
    forms: list[Callable[[Participant], str]] = [
        lambda person: person.email.upper(),
        lambda person: f"@{person.local_id}:localhost",
        lambda person: str(person.pk),
        lambda person: str(person.scaikey_id),
    ]
    names = [forms[number % 4](person) for number, person in enumerate(people)]
    with CaptureQueriesContext(connection) as queries:
        found = look_up_participant(HOST_OPERATOR).find_each(names)
    assert list(found.values()) == people
    assert len(queries) == 50
    with CaptureQueriesContext(connection) as queries:
        unknown = look_up_participant(HOST_OPERATOR).find_each(f"x{name}" for name in names)
    assert {type(error).__name__ for error in unknown.values()} == {"ParticipantNotFound"}
    assert len(queries) < 200


@pytest.mark.parametrize("name", ["", "\0", "@", "Ünal@acme.example", "None", "\ud800"])
def test_success_many_names_match_as_one_does(name: str, tenant: Tenant) -> None:
    make_person(tenant, "anna", email="Ünal@acme.example")
    make_person(tenant, "bert", scaikey_id=None, participant_type="agent", email="")
    make_person(tenant, "gone", email="twin@x", absent_since=EARLIER)
    look_up = look_up_participant(HOST_OPERATOR)
    each = look_up.find_each([name, "bert.acme", "twin@x"])
    single = [look_up.find_each([text])[text] for text in (name, "bert.acme", "twin@x")]
    assert [str(value) for value in each.values()] == [str(value) for value in single]


def test_success_command_with_a_file(tmp_path: Path, tenant: Tenant) -> None:
    make_people(tenant, 40)
    file = tmp_path / "people.csv"
    rows = "".join(f"Person {number};P{number}@acme.example\r\n" for number in range(40))
    file.write_bytes(("\ufeffName;E-mail\r\n" + rows + "\r\n;\r\n" + rows).encode())
    words = ("suspend_participant", "--from", str(file), "--tenant", "acme")
    with pytest.raises(ConfirmationNeeded, match=r"This blocks 40 participants \(Person 0 \(@p0:"):
        run_command(*words)
    *preview, expected = run_command(*words, "--dry-run").splitlines()
    assert (len(preview), expected) == (40, "Expected: 40 participants suspended.")
    out = run_command(*words, "--yes", "--reason", "left")
    assert out.splitlines()[39:] == [
        "Participant @p39:localhost suspended.",
        "In total: 40 participants suspended.",
    ]
    again = json.loads(run_command(*words, "--yes", "--json"))
    assert (len(again["results"]), again["changed"], again["dry_run"]) == (40, False, False)
    assert AuditEntry.objects.count() == 40
    file.write_text("p1\nzoe\n")
    with pytest.raises(RowsFailed):
        run_command("resume_participant", "--from-file", str(file))
    assert count_suspended() == 40
    Participant.objects.filter(local_id="p2").update(scaikey_status="SUSPENDED")
    two = ("resume_participant", "p1", "p2", "--tenant", "acme")
    expected = run_command(*two, "--dry-run").splitlines()[-1]
    outcome = "1 participant resumed; 1 participant resumed, but still suspended in ScaiKey."
    assert expected == f"Expected: {outcome}"
    with pytest.raises(ConfirmationNeeded, match="This resumes 2 participants"):
        run_command(*two)
    assert run_command(*two, "--yes").splitlines()[-1] == f"In total: {outcome}"
    total = run_command(*two).splitlines()[-1]
    assert total == (
        "In total: 1 participant already active; 1 participant still suspended in ScaiKey."
    )


def test_success_one_name_in_a_file_has_a_row(tmp_path: Path, tenant: Tenant) -> None:
    file = tmp_path / "tenants.txt"
    file.write_text("acme\n")
    document = json.loads(run_command("suspend_tenant", "--from", str(file), "--yes", "--json"))
    assert [row["name"] for row in document["results"]] == ["acme"]
    single = json.loads(run_command("resume_tenant", "acme", "--json"))
    assert (single["tenant"]["slug"], single["changed"]) == ("acme", True)


def test_fail_no_names_unknown_tenant_or_declined() -> None:
    make_people(make_tenant(), 2)
    with pytest.raises(UsageError, match="No names were passed"):
        run_command("suspend_participant")
    with pytest.raises(TenantNotFound):
        suspend("p0", "p1", tenant="nowhere")
    with pytest.raises(ConfirmationDeclined):
        suspend("p0", "p1", confirm=decline)
    assert count_suspended() == 0
