from __future__ import annotations

import json

import pytest

from scaiwave.errors import UsageError
from tenants.errors import TenantNotFound
from tenants.queries.list_roles import list_roles
from tenants.queries.role_paths import role_holders
from tests.tenants.people import (
    EARLIER,
    HOST,
    READER,
    add_members,
    make_group,
    make_person,
    make_tenant,
    run,
    tenant_admin,
)
from tests.tenants.roles import give, make_role, nested

pytestmark = pytest.mark.django_db


def test_success_built_in_roles_always() -> None:
    make_tenant()
    assert run("list_roles", "--tenant", "acme") == (
        "Slug           Name                   Built in  Direct  Groups  Holders\n"
        "partner_admin  Partner administrator  yes            0       0        0\n"
        "super_admin    Super administrator    yes            0       0        0\n"
        "tenant_admin   Tenant administrator   yes            0       0        0\n"
    )


def test_success_holders_are_active_and_counted_once() -> None:
    tenant = make_tenant()
    anna, everybody = nested(tenant)
    engineering = tenant.groups.get(name="Engineering")
    add_members(engineering, make_person(tenant, "berta"))
    add_members(engineering, make_person(tenant, "carl", suspended_by_hand_at=EARLIER))
    add_members(engineering, make_person(tenant, "dora"), absent_since=EARLIER)
    role = make_role(tenant)
    give(role, anna)
    give(role, make_person(tenant, "emil", absent_since=EARLIER))
    give(role, everybody)
    gone = make_group(tenant, "Gone", absent_since=EARLIER)
    add_members(gone, make_person(tenant, "finn"))
    give(role, gone)
    row = list_roles(operator=HOST, tenant="acme")[0]
    assert (row["slug"], row["participants"], row["groups"], row["holders"]) == ("editors", 2, 2, 2)
    reached = {held.participant.pk for held in role_holders(role) if held.participant.is_active}
    assert len(reached) == row["holders"]


def test_success_a_built_in_role_with_a_row_is_listed_once() -> None:
    tenant = make_tenant()
    role = make_role(tenant, "tenant_admin", name="Tenant administrator", is_built_in=True)
    give(role, make_person(tenant))
    document = json.loads(run("list_roles", "--tenant", "acme", "--json"))
    assert [row["slug"] for row in document["roles"]] == [
        "partner_admin",
        "super_admin",
        "tenant_admin",
    ]
    assert document["roles"][2] == {
        "id": str(role.pk),
        "slug": "tenant_admin",
        "name": "Tenant administrator",
        "built_in": True,
        "created_at": "2026-11-01T08:30:00Z",
        "participants": 1,
        "groups": 0,
        "holders": 1,
    }
    assert document["roles"][0]["id"] is None


def test_success_each_tenant_for_itself() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    give(make_role(acme), make_person(acme))
    assert len(list_roles(operator=READER, tenant="globex")) == 3
    assert len(list_roles(operator=tenant_admin(acme), tenant="acme")) == 4
    with pytest.raises(TenantNotFound) as caught:
        list_roles(operator=tenant_admin(acme), tenant=globex.slug)
    assert caught.value.message == "There is no tenant 'globex'."


def test_fail_no_tenant_named() -> None:
    with pytest.raises(UsageError):
        run("list_roles")
