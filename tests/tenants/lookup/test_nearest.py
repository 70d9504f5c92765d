from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scaiwave.core.errors import NotFoundError
from scaiwave.core.operators import Operator, OperatorRole
from tenants.lookup import nearest
from tenants.lookup.nearest import find_nearest_participant
from tenants.lookup.resolve import (
    resolve_group,
    resolve_participant,
    resolve_partner,
    resolve_tenant,
)
from tenants.models import Participant
from tenants.roles.queries.roles import resolve_role, show_role
from tests.tenants.factories import (
    HOST_OPERATOR,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
)
from tests.tenants.role_factories import make_role

pytestmark = pytest.mark.django_db


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
def test_success_no_suggestion_for_a_name_that_resembles_none(typed: str) -> None:
    make_tenant("acme")
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
        f"Did you mean `{expected}`? Run `scaiwave admin list-participants --tenant acme "
        "--search <name>` to search a tenant."
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
