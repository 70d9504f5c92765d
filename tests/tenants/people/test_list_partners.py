from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.people.queries.partners import list_partners
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tenants.helpers import assert_members_are_counted_by_their_index

pytestmark = pytest.mark.django_db


def test_success_counts_what_is_active() -> None:
    north, south = make_partner("north"), make_partner("south", scaikey_status="SUSPENDED")
    acme = make_tenant("acme", partner=north)
    make_tenant("gone", partner=north, absent_since=EARLIER)
    make_person(acme)
    make_person(acme, "berta", scaikey_status="SUSPENDED")
    rows = list_partners(operator=HOST_OPERATOR)
    assert [(row["slug"], row["tenants"], row["members"]) for row in rows] == [
        ("north", 1, 1),
        ("south", 0, 0),
    ]
    assert [row["slug"] for row in list_partners(operator=HOST_OPERATOR, status="inactive")] == [
        "south"
    ]
    assert next(list_partners(operator=make_partner_admin(south)))["id"] == south.pk
    assert list(list_partners(operator=make_tenant_admin(acme))) == []


@pytest.mark.only_on("sqlite")
def test_success_members_are_counted_by_their_index() -> None:
    make_person(make_tenant(partner=make_partner()))
    with CaptureQueriesContext(connection) as queries:
        list(list_partners(operator=HOST_OPERATOR))
    assert_members_are_counted_by_their_index(queries)


def test_success_printed() -> None:
    make_partner("north", max_tenants=100)
    assert run_command("list_partners") == (
        "Slug   Name   Status  Tenants  Max tenants  Members  ScaiKey ID\n"
        "north  North  active        0          100        0  prt_north\n"
    )
    assert json.loads(run_command("list_partners", "--json"))["partners"][0]["max_tenants"] == 100
