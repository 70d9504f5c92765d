from __future__ import annotations

import json
from itertools import product

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants.errors import AmbiguousName, GroupNotFound
from tenants.lookup.group_nesting import effective_groups, effective_members
from tenants.models import Group, Participant, Tenant
from tenants.people.queries.groups import list_groups, show_group
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    add_members,
    make_group,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tools import count_examples

pytestmark = pytest.mark.django_db


def make_nested_groups() -> Group:
    """Top contains anna and Middle; Middle anna, berta and Low; Low carla and Top."""
    tenant = make_tenant()
    top, middle, low = (make_group(tenant, name) for name in ("Top", "Middle", "Low"))
    anna, berta, carla = (make_person(tenant, name) for name in ("anna", "berta", "carla"))
    add_members(top, anna, middle)
    add_members(middle, anna, berta, low)
    add_members(low, carla, top)
    return top


def test_success_members_direct_and_through_groups() -> None:
    make_nested_groups()
    found = show_group(operator=HOST_OPERATOR, name="Top")
    assert [(row["display_name"], row["direct"], row["through"]) for row in found["members"]] == [
        ("Anna", True, []),
        ("Berta", False, ["Middle"]),
        ("Carla", False, ["Middle"]),
    ]
    assert found["active_people"] == 3
    assert [row["name"] for row in found["groups"]] == ["Middle"]
    assert [row["name"] for row in found["member_of"]] == ["Low"]


def test_success_plain_text() -> None:
    top = make_nested_groups()
    middle, low = Group.objects.get(name="Middle"), Group.objects.get(name="Low")
    assert run_command("show_group", "Top", "--tenant", "acme") == (
        "Name           Top\n"
        "Tenant         acme\n"
        "Type           -\n"
        "Status         active\n"
        f"ID             {top.pk}\n"
        f"ScaiKey ID     {top.scaikey_id}\n"
        "Active people  3\n"
        "Created        2026-11-01 08:30:00 UTC\n"
        "\n"
        "Member of\n"
        "Group  ID\n"
        f"Low    {low.pk}\n"
        "\n"
        "Nested groups\n"
        "Group   ID\n"
        f"Middle  {middle.pk}\n"
        "\n"
        "Members\n"
        "Name   E-mail              FQID                   Status  How\n"
        "Anna   anna@acme.example   @anna.acme:localhost   active  directly\n"
        "Berta  berta@acme.example  @berta.acme:localhost  active  through Middle\n"
        "Carla  carla@acme.example  @carla.acme:localhost  active  through Middle\n"
    )
    assert json.loads(run_command("show_group", "Top", "--json"))["group"]["id"] == str(top.pk)


def test_success_group_that_contains_itself(tenant: Tenant) -> None:
    group = make_group(tenant)
    add_members(group, group, make_person(tenant))
    assert [
        row["direct"] for row in show_group(operator=HOST_OPERATOR, name="Engineering")["members"]
    ] == [True]


def test_fail_unknown_ambiguous_and_outside_the_scope() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    make_group(acme, "Sales")
    make_group(globex, "Sales")
    with pytest.raises(GroupNotFound) as caught:
        show_group(operator=HOST_OPERATOR, name="Marketing")
    assert caught.value.message == "Group not found: Marketing."
    with pytest.raises(AmbiguousName):
        show_group(operator=HOST_OPERATOR, name="Sales")
    assert show_group(operator=make_tenant_admin(acme), name="Sales")["tenant"] == "acme"
    assert show_group(operator=HOST_OPERATOR, name="Sales", tenant="globex")["tenant"] == "globex"


SIZE = 5
Edges = set[tuple[int, int]]
_edges = st.sets(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=9)


def _reached(edges: Edges, start: int) -> set[int]:
    """Groups inside `start`, itself included; edges are (outer, inner)."""
    found: set[int] = set()
    waiting = [start]
    while waiting:
        if (group := waiting.pop()) not in found:
            found.add(group)
            waiting += [inner for outer, inner in edges if outer == group]
    return found


@settings(max_examples=count_examples(25), suppress_health_check=[HealthCheck.too_slow])
@given(edges=_edges, homes=_edges)
def test_success_nesting_is_reachability(edges: Edges, homes: Edges) -> None:
    with transaction.atomic():
        tenant = make_tenant()
        groups = [make_group(tenant, f"g{number}") for number in range(SIZE)]
        people: list[Participant] = [make_person(tenant, f"p{number}") for number in range(SIZE)]
        for outer, inner in edges:
            add_members(groups[outer], groups[inner])
        for group, person in homes:
            add_members(groups[group], people[person])
        for start in range(SIZE):
            inside = _reached(edges, start)
            expected = {people[person].pk for group, person in homes if group in inside}
            assert set(effective_members(groups[start])) == expected
            outside = {
                groups[outer].pk
                for outer in range(SIZE)
                if any((group, start) in homes for group in _reached(edges, outer))
            }
            assert set(effective_groups(people[start])) == outside
        transaction.set_rollback(True)


def test_success_counts_direct_and_nested(tenant: Tenant) -> None:
    top, middle, low = (make_group(tenant, name) for name in ("A", "B", "C"))
    anna, berta, carla = (make_person(tenant, name) for name in ("anna", "berta", "carla"))
    add_members(top, anna, middle)
    add_members(middle, berta, low)
    add_members(low, anna, top)
    add_members(low, carla, absent_since=EARLIER)
    make_group(make_tenant("other"), "Z")
    rows = list_groups(operator=HOST_OPERATOR, tenant="acme")
    keys = ("name", "direct_people", "direct_groups", "active_people")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("A", 1, 1, 2),
        ("B", 1, 1, 2),
        ("C", 1, 1, 2),
    ]


def test_success_active_people_are_those_whom_the_model_calls_active(tenant: Tenant) -> None:
    group, inner = make_group(tenant), make_group(tenant, "Inner")
    add_members(group, inner)
    facts = product(("", "ACTIVE", "SUSPENDED", "active"), (None, EARLIER), (None, EARLIER))
    for index, (at_scaikey, absent, by_hand) in enumerate(facts):
        person = make_person(
            tenant,
            f"p{index}",
            scaikey_status=at_scaikey,
            absent_since=absent,
            suspended_by_hand_at=by_hand,
        )
        add_members(inner, person)
    listed = {
        row["name"]: row["active_people"]
        for row in list_groups(operator=HOST_OPERATOR, tenant="acme")
    }
    shown = show_group(operator=HOST_OPERATOR, name="Engineering")
    assert listed["Engineering"] == shown["active_people"] == 2


def test_success_deactivated_groups_on_request(tenant: Tenant) -> None:
    make_group(tenant, "Here")
    make_group(tenant, "Gone", absent_since=EARLIER)
    for status, names in (
        ("active", ["Here"]),
        ("deactivated", ["Gone"]),
        ("all", ["Gone", "Here"]),
    ):
        rows = list_groups(operator=HOST_OPERATOR, tenant="acme", status=status)
        assert [row["name"] for row in rows] == names


def test_success_constant_queries(tenant: Tenant) -> None:
    counts = []
    for numbers in (range(3), range(3, 30)):
        for number in numbers:
            add_members(make_group(tenant, f"g{number}"), make_person(tenant, f"p{number}"))
        with CaptureQueriesContext(connection) as queries:
            list(list_groups(operator=HOST_OPERATOR, tenant="acme"))
        counts.append(len(queries))
    assert counts == [5, 5]


def test_success_printed(tenant: Tenant) -> None:
    add_members(make_group(tenant, group_type="SECURITY"), make_person(tenant))
    assert run_command("list_groups", "--tenant", "acme") == (
        "Name         Type      Status  Direct people  Direct groups  Active people (total)\n"
        "Engineering  SECURITY  active              1              0                      1\n"
    )
    assert json.loads(run_command("list_groups", "--tenant", "acme", "--json"))["groups"][0][
        "name"
    ] == ("Engineering")
