from __future__ import annotations

import uuid
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.cli.django_entry import CommandFailed
from scaiwave.cli.verbs import VERBS, canonical_path
from scaiwave.core.errors import NotFoundError, ScaiWaveError
from scaiwave.core.operators import Operator, OperatorRole
from tenants.errors import AmbiguousName, GroupNotFound, ParticipantNotFound, TenantNotFound
from tenants.lookup import nearest
from tenants.lookup.nearest import find_nearest_participant
from tenants.lookup.resolve import (
    resolve_group,
    resolve_participant,
    resolve_partner,
    resolve_person,
    resolve_tenant,
)
from tenants.models import AuditEntry, Participant, Partner, Tenant
from tenants.roles.queries.roles import resolve_role, show_role
from tests.refusals import refuses
from tests.scaiwave.row_factories import make_workspace
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    READ_ONLY_OPERATOR,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
)
from tests.tenants.role_factories import make_role

pytestmark = pytest.mark.django_db

Resolve = Callable[[Operator, str], object]


def test_success_tenant_and_partner_by_any_of_their_names() -> None:
    tenant = make_tenant("acme")
    make_tenant("other")
    for name in ("acme", "tnt_acme", str(tenant.pk), tenant.pk.hex, str(tenant.pk).upper()):
        assert resolve_tenant(HOST_OPERATOR, name) == tenant
    partner = make_partner("northwind")
    make_partner("", scaikey_id="prt_nameless")
    for name in ("northwind", "prt_northwind", str(partner.pk)):
        assert resolve_partner(HOST_OPERATOR, name) == partner


def test_success_participant_by_any_of_its_names() -> None:
    anna = make_person(make_tenant(), "anna", scaikey_id="usr_1", email="Anna@Acme.example")
    names = (
        "usr_1",
        "anna.acme",
        "@anna.acme",
        "@anna.acme:localhost",
        "@anna.acme:LocalHost:443",
        str(anna.pk),
    )
    for name in (*names, "anna@acme.example", "ANNA@ACME.EXAMPLE"):
        assert resolve_participant(HOST_OPERATOR, name) == anna


def test_success_participant_of_another_server_with_a_port() -> None:
    ours = make_person(make_tenant(), local_id="anna")
    theirs = make_person(ours.tenant, local_id="anna", server_name="chat.example.com:8448")
    assert resolve_participant(HOST_OPERATOR, "@anna:chat.example.com:8448") == theirs
    assert resolve_participant(HOST_OPERATOR, "@anna:localhost") == ours


def test_success_e_mail_outside_ascii_as_it_is_written() -> None:
    person = make_person(make_tenant(), email="Ärzte@acme.example")
    assert resolve_participant(HOST_OPERATOR, "Ärzte@ACME.example") == person


def test_success_a_person_who_moved_is_one_person() -> None:
    old, new = make_tenant("old"), make_tenant("new")
    make_person(old, scaikey_id="usr_1", email="anna@x.example", absent_since=EARLIER)
    here = make_person(new, scaikey_id="usr_1", email="anna@x.example")
    assert resolve_participant(HOST_OPERATOR, "anna@x.example", tenant=old).tenant == old
    for name in ("usr_1", "anna@x.example"):
        assert resolve_person(HOST_OPERATOR, name).scaikey_id == here.scaikey_id
        with pytest.raises(AmbiguousName):
            resolve_participant(HOST_OPERATOR, name)
    make_person(new, "other", scaikey_id=None, email="anna@x.example")
    with pytest.raises(AmbiguousName):
        resolve_person(HOST_OPERATOR, "anna@x.example")


def test_success_group_by_any_of_its_names() -> None:
    group = make_group(make_tenant(), "Engineering", scaikey_id="grp_1")
    for name in ("Engineering", "grp_1", str(group.pk)):
        assert resolve_group(HOST_OPERATOR, name) == group


def test_fail_ambiguous_participant() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    make_person(acme, "anna", email="anna@x.example")
    make_person(globex, "anna", email="anna@x.example")
    with pytest.raises(AmbiguousName) as caught:
        resolve_participant(HOST_OPERATOR, "anna@x.example")
    assert caught.value.message == (
        "anna@x.example is ambiguous: @anna.acme:localhost (Anna, acme, active); "
        "@anna.globex:localhost (Anna, globex, active)."
    )
    assert caught.value.fix == "Use the full @name:server of the one you mean, or its ID."
    assert resolve_participant(HOST_OPERATOR, "anna@x.example", tenant=acme).tenant == acme


PERSON = "anna@x.example"
ON_PEOPLE: dict[str, list[str]] = {
    "sync losses": ["--participant", PERSON],
    "admin show-participant": [PERSON],
    "admin suspend-participant": [PERSON, "--yes"],
    "admin resume-participant": [PERSON],
    "admin purge-participant": [PERSON, "--yes"],
    "admin export-participant": [PERSON, "--output", "DIRECTORY/anna.zip"],
    "admin hold add": ["--participant", PERSON, "--reason", "case"],
    "admin hold list": ["--participant", PERSON],
    "admin create-workspace": [
        *("--tenant", "acme", "--slug", "sales", "--name", "Sales", "--owner", PERSON)
    ],
    "role show": [PERSON, "--tenant", "acme"],
    "role grant": ["editors", "--tenant", "acme", "--to", PERSON],
    "role revoke": ["editors", "--tenant", "acme", "--from", PERSON, "--yes"],
    "room import": ["main", "--tenant", "acme", "--as", PERSON, "--input", "DIRECTORY/bundle.zip"],
}
"""Valid arguments for each command that takes a person."""
FROM_FILE = {
    "admin suspend-participant": ["--from", "DIRECTORY/people.csv", "--yes"],
    "admin resume-participant": ["--from-file", "DIRECTORY/people.csv"],
    "role grant": ["editors", "--tenant", "acme", "--from-file", "DIRECTORY/people.csv"],
    "role revoke": ["editors", "--tenant", "acme", "--from-file", "DIRECTORY/people.csv", "--yes"],
}


def test_success_each_command_that_takes_a_person_is_among_those_below() -> None:
    takes_person = set()
    for words, verb in VERBS.items():
        parser = load_command_class(get_commands()[verb.command], verb.command).create_parser(
            "", verb.command
        )
        if any("@name:server, local ID" in (action.help or "") for action in parser._actions):
            takes_person.add(" ".join(canonical_path(words) or words))
    assert takes_person == set(ON_PEOPLE)


@pytest.mark.parametrize(("words", "arguments"), [*ON_PEOPLE.items(), *FROM_FILE.items()], ids=str)
def test_fail_no_command_chooses_between_an_active_and_a_removed_person(
    words: str, arguments: list[str], tmp_path: Path
) -> None:
    acme = make_tenant("acme")
    make_role(acme, "editors")
    make_workspace(acme, slug="main")
    people = [
        make_person(acme, "old", email="Anna@x.example", absent_since=EARLIER),
        make_person(acme, "new", email=PERSON),
    ]
    (tmp_path / "people.csv").write_text(f"email\n{PERSON}\n")
    (tmp_path / "bundle.zip").touch()
    before = [list(Participant.objects.values()), AuditEntry.objects.count()]
    typed = [word.replace("DIRECTORY", str(tmp_path)) for word in arguments]
    out, message = (
        StringIO(),
        (
            f"{PERSON} is ambiguous: @old.acme:localhost (Old, acme, removed from ScaiKey on "
            f"{EARLIER:%Y-%m-%d}); @new.acme:localhost (New, acme, active)."
        ),
    )
    with pytest.raises(CommandFailed) as caught:
        call_command(VERBS[tuple(words.split())].command, *typed, stdout=out, stderr=StringIO())
    error = caught.value.error
    if any("people.csv" in word for word in typed):
        assert (error.code, error.exit_code) == ("SW_ROWS_FAILED", 1)
        assert out.getvalue() == f"{PERSON}: {message} [SW_NAME_AMBIGUOUS]\n"
    else:
        assert (error.code, error.exit_code) == ("SW_NAME_AMBIGUOUS", 1)
        assert error.message == message
        assert error.fix == "Use the full @name:server of the one you mean, or its ID."
        assert error.details["candidates"] == [str(person.pk) for person in people]
    assert [list(Participant.objects.values()), AuditEntry.objects.count()] == before


def test_fail_ambiguous_group_lists_ten(tenant: Tenant) -> None:
    groups = [make_group(tenant, "Sales") for _ in range(11)]
    with pytest.raises(AmbiguousName) as caught:
        resolve_group(HOST_OPERATOR, "Sales")
    assert caught.value.message.endswith("(in acme); and more.")
    assert caught.value.fix == "Add --tenant <slug>, or use the ID of the one you mean."
    assert caught.value.details["candidates"] == [str(group.pk) for group in groups[:10]]


def test_fail_tenant_whose_slug_is_the_id_of_another_is_ambiguous() -> None:
    make_tenant("acme", scaikey_tenant_id="globex")
    make_tenant("globex")
    with pytest.raises(AmbiguousName):
        resolve_tenant(HOST_OPERATOR, "globex")


@pytest.mark.parametrize("resolve", [resolve_tenant, resolve_partner, resolve_participant])
@pytest.mark.parametrize("name", ["", "unknown", "a\0b", "\udcff", "@", "@:", "@a:b", "a@b"])
def test_fail_nothing_by_that_name(resolve: Resolve, name: str) -> None:
    make_partner("", scaikey_id=None)
    make_person(make_tenant(scaikey_tenant_id=None), email="", scaikey_id=None)
    with pytest.raises(NotFoundError):
        resolve(HOST_OPERATOR, name)


@given(name=st.text(st.characters(), max_size=20))
def test_fail_any_text_is_a_plain_error(name: str) -> None:
    for resolve in (resolve_tenant, resolve_partner, resolve_participant, resolve_group):
        with pytest.raises(NotFoundError):
            resolve(HOST_OPERATOR, name)


def test_fail_name_of_another_tenant() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    make_person(acme, "anna")
    make_group(acme, "Sales")
    with refuses(ParticipantNotFound, "Participant not found in tenant globex: anna@acme.example."):
        resolve_participant(HOST_OPERATOR, "anna@acme.example", tenant=globex)
    with refuses(GroupNotFound, "Group not found in tenant globex: Sales."):
        resolve_group(HOST_OPERATOR, "Sales", tenant=globex)


def get_error_parts(resolve: Resolve, operator: Operator, name: str) -> tuple[str, ...]:
    with pytest.raises(ScaiWaveError) as caught:
        resolve(operator, name)
    error = caught.value
    return error.code, error.message.replace(name, "…"), error.fix, str(error.exit_code)


def test_fail_outside_the_scope_as_if_unknown() -> None:
    ours, theirs = make_partner("ours"), make_partner("theirs")
    mine = make_tenant("mine", partner=ours)
    hidden = make_tenant("hidden", partner=theirs)
    person, group = make_person(hidden), make_group(hidden)
    cases: list[tuple[Resolve, object]] = [
        (resolve_partner, theirs.pk),
        (resolve_tenant, hidden.pk),
        (resolve_participant, person.pk),
        (resolve_group, group.pk),
    ]
    for operator in (make_partner_admin(ours), make_tenant_admin(mine)):
        for resolve, key in cases:
            assert get_error_parts(resolve, operator, str(key)) == get_error_parts(
                resolve, operator, str(uuid.uuid4())
            )


def test_success_within_the_scope(partner: Partner) -> None:
    tenant = make_tenant(partner=partner)
    person = make_person(tenant)
    for operator in (
        HOST_OPERATOR,
        READ_ONLY_OPERATOR,
        make_partner_admin(partner),
        make_tenant_admin(tenant),
    ):
        assert resolve_tenant(operator, "acme") == tenant
        assert resolve_participant(operator, str(person.pk)) == person
    with refuses(TenantNotFound, "Tenant not found: nope."):
        resolve_tenant(HOST_OPERATOR, "nope")


def test_success_ambiguity_is_limited_to_the_scope() -> None:
    mine, other = make_tenant("mine"), make_tenant("other")
    anna = make_person(mine, email="anna@x.example")
    make_person(other, email="anna@x.example")
    assert resolve_participant(make_tenant_admin(mine), "anna@x.example") == anna


def get_fix(resolve: Callable[..., object], *arguments: Any, **named: Any) -> str:
    with pytest.raises(NotFoundError) as caught:
        resolve(*arguments, **named)
    return caught.value.fix


def test_success_tenant_and_partner() -> None:
    make_tenant("acme", partner=make_partner("northwind"))
    make_tenant("globex")
    for typed in ("acmee", "ACME", "xcme"):
        assert get_fix(resolve_tenant, HOST_OPERATOR, typed) == (
            "Did you mean `acme`? `scaiwave admin list-tenants` lists all."
        )
    assert get_fix(resolve_partner, HOST_OPERATOR, "nortwind") == (
        "Did you mean `northwind`? `scaiwave admin list-partners` lists all."
    )


@pytest.mark.parametrize("typed", ["nonsense", "", "ac\0me", "acme\udcff", "acme" * 1000])
def test_success_no_suggestion_for_a_name_that_resembles_none(typed: str, tenant: Tenant) -> None:
    assert get_fix(resolve_tenant, HOST_OPERATOR, typed).startswith(
        "Run `scaiwave admin list-tenants` to see the tenants within your scope"
    )


def test_success_no_suggestion_outside_the_scope() -> None:
    ours, theirs = make_partner("ours"), make_partner("their")
    mine = make_tenant("mine", partner=ours)
    acme = make_tenant("acme", partner=theirs)
    make_person(acme, "bert")
    make_group(acme, "Engineering")
    for operator in (make_partner_admin(ours), make_tenant_admin(mine)):
        for resolve, typed in (
            (resolve_tenant, "acmee"),
            (resolve_partner, "theirs"),
            (resolve_participant, "bert.acm"),
            (resolve_participant, "@bert.acm"),
            (resolve_participant, "bert@acme.exampl"),
            (resolve_group, "Enginering"),
        ):
            fix = get_fix(resolve, operator, typed)
            assert "Did you mean" not in fix
    caller = Operator("anna", OperatorRole.PARTICIPANT, tenant_id=acme.scaikey_tenant_id)
    assert "Did you mean" not in get_fix(resolve_tenant, caller, "acmee")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ana.acme", "anna.acme"),
        ("@ana.acme", "@anna.acme"),
        ("@ana.acme:localhost", "@anna.acme"),
        ("Ana@acme.example", "Anna@acme.example"),
        ("anna@acme.exmaple", "Anna@acme.example"),
    ],
)
def test_success_participant_in_the_form_that_was_typed(typed: str, expected: str) -> None:
    acme = make_tenant("acme")
    make_person(acme, "anna", email="Anna@acme.example")
    make_person(acme, "zoe")
    make_person(make_tenant("globex"), "ana")
    assert get_fix(resolve_participant, HOST_OPERATOR, typed, tenant=acme) == (
        f"Did you mean `{expected}`? `scaiwave admin list-participants --search <name>` searches "
        "all tenants you may see."
    )


def test_success_group_and_role() -> None:
    acme = make_tenant("acme")
    make_group(acme, "Engineering")
    make_role(acme, "editors")
    assert get_fix(resolve_group, HOST_OPERATOR, "Enginering", tenant=acme) == (
        "Did you mean `Engineering`? `scaiwave admin list-groups --tenant acme` lists all."
    )
    for typed, expected in (("editor", "editors"), ("tenant-admin", "tenant_admin")):
        assert get_fix(resolve_role, HOST_OPERATOR, acme, typed) == (
            f"Did you mean `{expected}`? `scaiwave role list --tenant acme` lists all."
        )
    make_person(acme, "anna")
    for typed, expected in (("editor", "editors"), ("ana.acme", "anna.acme")):
        fix = get_fix(show_role, operator=HOST_OPERATOR, name=typed, tenant="acme")
        assert fix.startswith(f"Did you mean `{expected}`? ")


def test_success_compares_only_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "MAX_NEIGHBOURS", 5)
    acme = make_tenant("acme")
    for number in range(100):
        make_person(acme, f"person-{number:03}")
    visible = Participant.objects.filter(tenant=acme)
    with CaptureQueriesContext(connection) as queries:
        found = find_nearest_participant(HOST_OPERATOR, "person-050.acm", visible)
    assert found == "person-050.acme"
    assert len(queries) == 3
    assert all("LIMIT 5" in query["sql"] for query in queries.captured_queries[:2])


@pytest.mark.parametrize("typed", ["person", "person@acme.example"])
def test_success_neighbours_of_people_are_read_from_an_index(typed: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads a small table without its index")
    with CaptureQueriesContext(connection) as queries:
        find_nearest_participant(HOST_OPERATOR, typed, Participant.objects.all())
    for query in queries.captured_queries[:2]:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert "USING INDEX" in plan
        assert "TEMP B-TREE" not in plan
