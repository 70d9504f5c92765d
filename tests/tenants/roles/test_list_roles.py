from __future__ import annotations

import json

import pytest

from tenants.errors import TenantNotFound
from tenants.roles.queries.roles import list_roles, role_holders
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
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
from tests.tenants.role_factories import make_grant, make_nested_groups, make_role

pytestmark = pytest.mark.django_db


def test_success_built_in_roles_always() -> None:
    make_tenant()
    assert run_command("list_roles", "--tenant", "acme") == (
        "Slug           Name                   Built in  Direct  Groups  Holders\n"
        "partner_admin  Partner administrator  yes            0       0        0\n"
        "super_admin    Super administrator    yes            0       0        0\n"
        "tenant_admin   Tenant administrator   yes            0       0        0\n"
    )


def test_success_holders_are_active_and_counted_once() -> None:
    tenant = make_tenant()
    anna, all_group = make_nested_groups(tenant)
    engineering = tenant.groups.get(name="Engineering")
    add_members(engineering, make_person(tenant, "berta"))
    add_members(engineering, make_person(tenant, "carl", suspended_by_hand_at=EARLIER))
    add_members(engineering, make_person(tenant, "dora"), absent_since=EARLIER)
    role = make_role(tenant)
    make_grant(role, anna)
    make_grant(role, make_person(tenant, "emil", absent_since=EARLIER))
    make_grant(role, all_group)
    gone = make_group(tenant, "Gone", absent_since=EARLIER)
    add_members(gone, make_person(tenant, "finn"))
    make_grant(role, gone)
    row = next(list_roles(operator=HOST_OPERATOR, tenant="acme"))
    assert (row["slug"], row["participants"], row["groups"], row["holders"]) == ("editors", 2, 2, 2)
    reached = {
        grants.participant.pk for grants in role_holders(role) if grants.participant.is_active
    }
    assert len(reached) == row["holders"]


def test_success_a_built_in_role_with_a_row_is_listed_once() -> None:
    tenant = make_tenant()
    role = make_role(tenant, "tenant_admin", name="Tenant administrator", is_built_in=True)
    make_grant(role, make_person(tenant))
    document = json.loads(run_command("list_roles", "--tenant", "acme", "--json"))
    assert [row["slug"] for row in document["roles"]] == [
        "partner_admin",
        "super_admin",
        "tenant_admin",
    ]
    assert document["roles"][2] == {
        "id": str(role.pk),
        "slug": "tenant_admin",
        "name": "Tenant administrator",
        "description": "",
        "built_in": True,
        "created_at": "2026-11-01T08:30:00Z",
        "tenant": "acme",
        "participants": 1,
        "groups": 0,
        "holders": 1,
    }
    assert document["roles"][0]["id"] is None


def test_success_roles_of_one_tenant_only() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    make_grant(make_role(acme), make_person(acme))
    assert len([*list_roles(operator=READ_ONLY_OPERATOR, tenant="globex")]) == 3
    assert len([*list_roles(operator=make_tenant_admin(acme), tenant="acme")]) == 4
    with pytest.raises(TenantNotFound) as caught:
        list_roles(operator=make_tenant_admin(acme), tenant=globex.slug)
    assert caught.value.message == "Tenant not found: globex."


def test_success_roles_of_all_tenants() -> None:
    northwind = make_partner()
    acme, globex = make_tenant("acme", partner=northwind), make_tenant("globex")
    make_grant(make_role(globex, "writers"), make_person(globex))
    make_grant(make_role(acme), make_person(acme))
    make_role(acme, "auditors")
    assert run_command("list_roles") == (
        "Tenant  Slug      Name      Built in  Direct  Groups  Holders\n"
        "acme    auditors  Auditors  no             0       0        0\n"
        "acme    editors   Editors   no             1       0        1\n"
        "globex  writers   Writers   no             1       0        1\n"
    )
    for operator, slugs in (
        (READ_ONLY_OPERATOR, ["auditors", "editors", "writers"]),
        (make_partner_admin(northwind), ["auditors", "editors"]),
        (make_tenant_admin(globex), ["writers"]),
    ):
        assert [row["slug"] for row in list_roles(operator=operator)] == slugs
    assert [row["slug"] for row in list_roles(operator=HOST_OPERATOR, limit=1)] == ["auditors"]
