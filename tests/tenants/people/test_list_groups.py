from __future__ import annotations

import json
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.people.queries.groups import list_groups, show_group
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    add_members,
    make_group,
    make_person,
    make_tenant,
    run_command,
)

pytestmark = pytest.mark.django_db


def test_success_counts_direct_and_nested() -> None:
    tenant = make_tenant()
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


def test_success_active_people_are_those_whom_the_model_calls_active() -> None:
    tenant = make_tenant()
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


def test_success_deactivated_groups_on_request() -> None:
    tenant = make_tenant()
    make_group(tenant, "Here")
    make_group(tenant, "Gone", absent_since=EARLIER)
    for status, names in (
        ("active", ["Here"]),
        ("deactivated", ["Gone"]),
        ("all", ["Gone", "Here"]),
    ):
        rows = list_groups(operator=HOST_OPERATOR, tenant="acme", status=status)
        assert [row["name"] for row in rows] == names


def test_success_constant_queries() -> None:
    tenant = make_tenant()
    counts = []
    for numbers in (range(3), range(3, 30)):
        for number in numbers:
            add_members(make_group(tenant, f"g{number}"), make_person(tenant, f"p{number}"))
        with CaptureQueriesContext(connection) as queries:
            list(list_groups(operator=HOST_OPERATOR, tenant="acme"))
        counts.append(len(queries))
    assert counts == [5, 5]


def test_success_printed() -> None:
    tenant = make_tenant()
    add_members(make_group(tenant, group_type="SECURITY"), make_person(tenant))
    assert run_command("list_groups", "--tenant", "acme") == (
        "Name         Type      Status  Direct people  Direct groups  Active people (total)\n"
        "Engineering  SECURITY  active              1              0                      1\n"
    )
    assert json.loads(run_command("list_groups", "--tenant", "acme", "--json"))["groups"][0][
        "name"
    ] == ("Engineering")
