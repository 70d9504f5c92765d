from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.audit.record import record_audit
from tenants.models import Partner
from tenants.people.queries.partners import list_partners, show_partner
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
    assert next(iter(list_partners(operator=make_partner_admin(south))))["id"] == south.pk
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


def test_success_show_printed() -> None:
    partner = make_partner(max_tenants=20, contact_email="ops@north.example")
    make_person(make_tenant("acme", partner=partner))
    make_tenant("gone", partner=partner, absent_since=EARLIER)
    record_audit(operator=HOST_OPERATOR, action="suspend-partner", subject=partner, now=NOW)
    assert run_command("show_partner", "northwind") == (
        "Slug                         northwind\n"
        "Name                         Northwind\n"
        f"ID                           {partner.pk}\n"
        "ScaiKey ID                   prt_northwind\n"
        "Status                       active\n"
        "Contact                      ops@north.example\n"
        "Tenants                      1 and 1 inactive\n"
        "Members                      1\n"
        "Max tenants                  20\n"
        "Max people per tenant        no limit\n"
        "Max applications per tenant  no limit\n"
        "Created                      2026-11-01 08:30:00 UTC\n"
        "Changed                      2026-11-01 08:30:00 UTC\n"
        "\n"
        "Recent changes\n"
        "Time                     Operator  Action           Subject\n"
        "2026-11-24 12:00:00 UTC  root      suspend-partner  northwind\n"
    )


def test_success_a_local_partner_that_is_suspended() -> None:
    make_partner(scaikey_id=None, suspended_by_hand_at=EARLIER)
    shown = run_command("show_partner", "northwind")
    assert "none (local partner)\n" in shown
    assert "suspended manually\n" in shown


def test_success_only_operators_of_the_platform_see_its_audit_entries(partner: Partner) -> None:
    record_audit(operator=HOST_OPERATOR, action="suspend-partner", subject=partner, now=NOW)
    for operator, count in ((READ_ONLY_OPERATOR, 1), (make_partner_admin(partner), 0)):
        row = show_partner(operator=operator, name="northwind")
        assert len(row["audit_entries"]) == count
