"""Grant a role to many, and revoke it from many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scaiwave.core.bulk import BulkResult, RowsFailed
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission, UsageError
from tenants.errors import LastSuperAdmin, ParticipantNotFound, RoleNotFound, SuperAdminOnly
from tenants.models import AuditEntry, Group, Participant, Role, RoleGrant, RoleSource, Tenant
from tenants.roles.grants import grant_role_to_many, revoke_role_from_many
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
from tests.tenants.role_factories import make_grant, make_role, make_super_admin_operator

pytestmark = pytest.mark.django_db

OPTIONS: dict[str, Any] = {
    "operator": HOST_OPERATOR,
    "role": "editors",
    "tenant": "acme",
    "is_group": False,
    "now": NOW,
}


def names_of(holders: list[Participant] | list[Group]) -> list[str]:
    return [str(each.pk) for each in holders]


def grant(holders: list[str], **changes: Any) -> BulkResult:
    return grant_role_to_many(holders=holders, **{**OPTIONS, **changes})


def revoke(holders: list[str], **changes: Any) -> BulkResult:
    return revoke_role_from_many(holders=holders, **{**OPTIONS, **changes})


def get_codes(result: BulkResult) -> list[str | None]:
    return [row.error.code if row.error else None for row in result.rows]


def test_success_granted_taken_over_and_already(tenant: Tenant, role: Role) -> None:
    people = [make_person(tenant, name) for name in ("anna", "bert", "cleo")]
    make_grant(role, people[1], source=RoleSource.SCAIKEY)
    make_grant(role, people[2])
    questions: list[str] = []
    result = grant(names_of(people), confirm=questions.append)
    assert questions == [
        "This grants role editors to 2 participants (Anna (@anna.acme:localhost), "
        "Bert (@bert.acme:localhost))."
    ]
    document = result.document()
    assert [(row["outcome"], row["changed"]) for row in document["results"]] == [
        *(("granted", True), ("taken_over", True), ("already_granted", False))
    ]
    assert {row["role"]["slug"] for row in document["results"]} == {"editors"}
    grants = RoleGrant.objects.filter(role=role, source=RoleSource.MANUAL)
    assert {each.participant_id for each in grants} == {person.pk for person in people}
    assert [entry.details["outcome"] for entry in AuditEntry.objects.order_by("pk")] == [
        *("granted", "taken_over")
    ]
    again = grant(names_of(people), confirm=pytest.fail)
    assert (again.document()["changed"], AuditEntry.objects.count()) == (False, 2)


def test_success_a_built_in_role_gets_its_row_once(tenant: Tenant) -> None:
    people = [make_person(tenant, name) for name in ("anna", "bert")]
    assert grant(names_of(people), role="tenant_admin", dry_run=True).document()["changed"]
    assert not RoleGrant.objects.exists()
    assert grant(names_of(people), role="tenant_admin").document()["changed"]
    assert RoleGrant.objects.filter(role__slug="tenant_admin").count() == 2


def test_success_groups(tenant: Tenant, role: Role) -> None:
    groups = [make_group(tenant, name) for name in ("Crew", "Staff")]
    result = grant(["Crew", "Staff"], is_group=True)
    assert [row["group"]["name"] for row in result.document()["results"]] == ["Crew", "Staff"]
    questions: list[str] = []
    result = revoke(names_of(groups), is_group=True, confirm=questions.append)
    assert questions == ["This revokes role editors from 2 groups (Crew, Staff)."]
    assert [row["remaining_paths"] for row in result.document()["results"]] == [[], []]
    assert not RoleGrant.objects.filter(role=role).exists()


def test_fail_wrong_rows_and_nothing_is_granted(tenant: Tenant, role: Role) -> None:
    anna, gone = make_person(tenant), make_person(tenant, "gone", absent_since=EARLIER)
    elsewhere = make_person(make_tenant("globex"), "cleo")
    bert = make_person(tenant, "bert")
    result = grant(
        names_of([anna, gone, elsewhere, bert]),
        operator=make_super_admin_operator(bert),
        confirm=pytest.fail,
    )
    assert get_codes(result) == [
        *(None, "SW_ROLE_HOLDER_GONE", "SW_PARTICIPANT_NOT_FOUND", "SW_ROLE_SELF_ELEVATION")
    ]
    row = result.document()["results"][1]
    assert {**row, "error": None} == {
        "name": str(gone.pk),
        "role": None,
        "participant": None,
        "outcome": None,
        "changed": False,
        "error": None,
    }
    with pytest.raises(RowsFailed):
        result.require_complete()
    assert not RoleGrant.objects.exists()
    assert not AuditEntry.objects.exists()


def test_fail_only_people_are_administrators(tenant: Tenant, role: Role) -> None:
    anna, bot = make_person(tenant), make_person(tenant, "bot", participant_type="agent")
    result = grant(names_of([anna, bot]), role="tenant_admin", confirm=pytest.fail)
    assert get_codes(result) == [None, "SW_ROLE_PEOPLE_ONLY"]
    error = result.rows[1].error
    assert error is not None
    assert error.message == (
        "Bot (@bot.acme:localhost) is an account of type agent, and can't have role tenant_admin."
    )
    assert grant(names_of([bot])).document()["changed"], "Other roles are for all."


def test_success_revoked_with_the_paths_that_remain(tenant: Tenant, role: Role) -> None:
    anna, bert, cleo = (make_person(tenant, name) for name in ("anna", "bert", "cleo"))
    crew = make_group(tenant, "Crew")
    add_members(crew, anna, cleo)
    for holder in (anna, bert, crew):
        make_grant(role, holder)
    names = names_of([anna, bert, cleo])
    for result in (revoke(names, dry_run=True), revoke(names)):
        rows = result.document()["results"]
        assert [(row["changed"], row["remaining_paths"]) for row in rows] == [
            *((True, [["Crew"]]), (True, []), (False, [["Crew"]]))
        ]
        still = "Anna (@anna.acme:localhost) still has role editors through Crew, granted by root."
        assert still in result.lines
    assert RoleGrant.objects.get().group == crew
    assert not revoke(names_of([anna, bert]), confirm=pytest.fail).document()["changed"]
    assert AuditEntry.objects.filter(action="role revoke").count() == 2


def test_fail_a_grant_of_scaikey_and_nothing_is_revoked(tenant: Tenant, role: Role) -> None:
    anna, bert = make_person(tenant), make_person(tenant, "bert")
    make_grant(role, anna)
    make_grant(role, bert, source=RoleSource.SCAIKEY)
    assert get_codes(revoke(names_of([anna, bert]))) == [None, "SW_ROLE_FROM_SCAIKEY"]
    assert RoleGrant.objects.count() == 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_the_last_super_admins_in_a_set(dry_run: bool, tenant: Tenant) -> None:
    role = make_role(tenant, "super_admin", is_built_in=True)
    people = [make_person(tenant, name) for name in ("anna", "bert")]
    for person in people:
        make_grant(role, person)
    with pytest.raises(LastSuperAdmin):
        revoke(names_of(people), role="super_admin", dry_run=dry_run, confirm=pytest.fail)
    assert RoleGrant.objects.count() == 2
    assert revoke(names_of(people[:1]), role="super_admin", dry_run=dry_run).document()["changed"]


def test_fail_permissions() -> None:
    north = make_partner()
    acme = make_tenant(partner=north)
    people = names_of([make_person(acme), make_person(acme, "bert")])
    for change in (grant, revoke):
        with pytest.raises(SuperAdminOnly):
            change(people, role="super_admin", operator=make_partner_admin(north))
        for operator in (make_tenant_admin(acme), READ_ONLY_OPERATOR):
            with pytest.raises(InsufficientPermission):
                change(people, operator=operator)


def test_success_the_tenant_is_that_of_the_holders() -> None:
    for slug in ("acme", "lab"):
        make_person(make_tenant(slug), f"anna.{slug}", email=f"anna@{slug}.example")
    words = ("super_admin", "--to", "anna@lab.example")
    with pytest.raises(ConfirmationNeeded) as asked:
        run_command("grant_role", *words)
    assert asked.value.message == (
        "Confirmation required: This grants role super_admin to Anna.Lab "
        "(@anna.lab.lab:localhost). Continue?"
    )
    assert not RoleGrant.objects.exists()
    granted = run_command("grant_role", *words, "--yes")
    assert granted.startswith("Role super_admin granted to Anna")
    assert RoleGrant.objects.get().tenant.slug == "lab"
    everywhere = {"tenant": None, "role": "super_admin"}
    assert get_codes(grant(["anna@lab.example", "zoe"], **everywhere)) == [
        *(None, "SW_PARTICIPANT_NOT_FOUND"),
    ]
    with pytest.raises(ParticipantNotFound, match=r"\AParticipant not found: zoe\.\Z"):
        grant(["zoe"], **everywhere)
    partner_admin = make_partner_admin(make_partner())
    with pytest.raises(ParticipantNotFound):  # Outside the scope no one exists.
        grant(["anna@lab.example"], **everywhere, operator=partner_admin)
    with pytest.raises(RoleNotFound, match="Role not found in tenant lab: editors"):
        grant(["anna@lab.example"], tenant=None)
    with pytest.raises(UsageError) as raised:
        grant(["anna@acme.example", "anna@lab.example"], **everywhere)
    assert str(raised.value) == "The names are in several tenants: acme, lab."
    assert raised.value.fix == "Run the command once for each tenant, with --tenant <slug>."
    run_command("grant_role", "super_admin", "--to", "anna@acme.example", "--yes")
    revoked = run_command("revoke_role", "super_admin", "--from", "anna@lab.example", "--yes")
    assert "revoked" in revoked


def test_success_commands(tmp_path: Path, tenant: Tenant) -> None:
    make_role(tenant)
    for name in ("anna", "bert", "cleo"):
        make_person(tenant, name)
    file = tmp_path / "people.csv"
    file.write_text("name,email\nAnna,anna@acme.example\nBert,bert@acme.example\n")
    words = ("editors", "--tenant", "acme")
    out = run_command("grant_role", *words, "--from", str(file), "--yes")
    assert [line.partition(" (")[0] for line in out.splitlines()] == [
        *("Role editors granted to Anna", "Role editors granted to Bert"),
        "In total: granted to 2 participants.",
    ]
    several = ("--to", "bert@acme.example", "--to", "cleo@acme.example")
    document = json.loads(run_command("grant_role", *words, *several, "--json"))
    assert [row["outcome"] for row in document["results"]] == ["already_granted", "granted"]
    strong = ("grant_role", "tenant_admin", *words[1:], *several[:2])
    run_command(*strong, "--reason", "deputy", "--yes")
    assert AuditEntry.objects.latest("id").details["reason"] == "deputy"
    questions: list[str] = []
    for role in ("tenant_admin", "editors"):
        grant(["anna@acme.example"], role=role, confirm=questions.append)
    assert questions == ["This grants role tenant_admin to Anna (@anna.acme:localhost)."]
    people = ("bert@acme.example", "--from", "cleo@acme.example", "--dry-run", "--json")
    document = json.loads(run_command("revoke_role", *words, "--from", *people))
    assert (len(document["results"]), document["changed"], document["dry_run"]) == (2, True, True)
    with pytest.raises(ConfirmationNeeded, match="This revokes role editors from 2 participants"):
        run_command("revoke_role", *words, "--from-file", str(file))
    out = run_command("revoke_role", *words, "--from-file", str(file), "--yes")
    assert out.splitlines()[-1] == "In total: revoked from 2 participants."
