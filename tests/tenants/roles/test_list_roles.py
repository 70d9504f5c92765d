from __future__ import annotations

import json
from typing import Any

import pytest

from scaiwave.core.operators import Operator
from tenants.errors import AmbiguousName, ParticipantNotFound, RoleNotFound, TenantNotFound
from tenants.models import Role, Tenant
from tenants.roles.queries.roles import list_role_members, list_roles, role_holders, show_role
from tenants.roles.queries.slugs import list_slugs
from tests.refusals import refuses
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
    read_outputs,
    run_command,
)
from tests.tenants.role_factories import make_grant, make_nested_groups, make_role

pytestmark = pytest.mark.django_db


def test_success_built_in_roles_always(tenant: Tenant) -> None:
    assert run_command("list_roles", "--tenant", "acme") == (
        "Slug           Name                   Built in  Direct  Groups  Holders\n"
        "partner_admin  Partner administrator  yes            0       0        0\n"
        "super_admin    Super administrator    yes            0       0        0\n"
        "tenant_admin   Tenant administrator   yes            0       0        0\n"
    )


def test_success_holders_are_active_and_counted_once(tenant: Tenant) -> None:
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
    row = next(iter(list_roles(operator=HOST_OPERATOR, tenant="acme")))
    assert (row["slug"], row["participants"], row["groups"], row["holders"]) == ("editors", 2, 2, 2)
    reached = {
        grants.participant.pk for grants in role_holders(role) if grants.participant.is_active
    }
    assert len(reached) == row["holders"]


def test_success_a_built_in_role_with_a_row_is_listed_once(tenant: Tenant) -> None:
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
        "tenant_id": str(tenant.pk),
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
    with refuses(TenantNotFound, "Tenant not found: globex."):
        list_roles(operator=make_tenant_admin(acme), tenant=globex.slug)


def test_success_roles_of_all_tenants() -> None:
    northwind = make_partner()
    acme, globex = make_tenant("acme", partner=northwind), make_tenant("globex")
    make_grant(make_role(globex, "writers"), make_person(globex))
    make_grant(make_role(acme), make_person(acme))
    make_role(acme, "auditors")
    out, err = read_outputs("list_roles")
    assert out == (
        "Tenant  Slug      Name      Built in  Direct  Groups  Holders\n"
        "acme    auditors  Auditors  no             0       0        0\n"
        "acme    editors   Editors   no             1       0        1\n"
        "globex  writers   Writers   no             1       0        1\n"
    )
    assert err == "Built-in roles without a grant are listed only with --tenant.\n"
    for operator, slugs in (
        (READ_ONLY_OPERATOR, ["auditors", "editors", "writers"]),
        (make_partner_admin(northwind), ["auditors", "editors"]),
        (make_tenant_admin(globex), ["writers"]),
    ):
        assert [row["slug"] for row in list_roles(operator=operator)] == slugs
    assert [row["slug"] for row in list_roles(operator=HOST_OPERATOR, limit=1)] == ["auditors"]


def test_success_slugs_for_shells() -> None:
    """A built-in role has no row until it is granted."""
    make_role(make_tenant("acme"))
    globex = make_tenant("globex")
    make_role(globex, "super_admin", name="Super administrator", is_built_in=True)
    built_in = ["partner_admin", "super_admin", "tenant_admin"]
    assert run_command("completion", "roles").split() == ["editors", *built_in]
    assert list_slugs(operator=make_tenant_admin(globex), kind="roles") == built_in
    assert list_slugs(operator=make_tenant_admin(globex), kind="tenants") == ["globex"]


def test_success_members_across_tenants() -> None:
    northwind = make_partner()
    acme, globex = make_tenant("acme", partner=northwind), make_tenant("globex")
    anna, crew = make_nested_groups(acme)
    names: dict[str, Any] = {"name": "Super administrator", "is_built_in": True}
    role = make_role(acme, "super_admin", **names)
    make_grant(role, crew)
    make_grant(role, anna)
    make_grant(make_role(globex, "super_admin", **names), make_person(globex, "bert"))
    make_role(make_tenant("unused"), "super_admin", **names)

    def list_all(operator: Operator, **options: Any) -> list[tuple[str, str, list[str]]]:
        rows = list_role_members(operator=operator, name="super_admin", **options)
        return [(row["tenant"], row["local_id"], row["path"]) for row in rows]

    both: list[tuple[str, str, list[str]]] = [
        ("acme", anna.local_id, []),
        ("globex", "bert.globex", []),
    ]
    assert list_all(READ_ONLY_OPERATOR) == both
    assert list_all(make_partner_admin(northwind)) == both[:1]
    assert list_all(make_tenant_admin(globex)) == both[1:]
    assert list_all(HOST_OPERATOR, tenant="globex") == both[1:]
    assert list_all(HOST_OPERATOR, tenant="unused") == []
    (row,) = list_role_members(operator=HOST_OPERATOR, name=str(role.pk))
    assert (row["role"], row["role_id"]) == ("super_admin", role.pk)
    with pytest.raises(RoleNotFound):
        list(list_role_members(operator=make_tenant_admin(globex), name=str(role.pk)))
    assert "directly" in run_command("list_role_members", "super_admin")
    page = json.loads(run_command("list_role_members", "super_admin", "--limit=1", "--json"))
    assert (page["next_id"], page["total"]) == (str(anna.pk), None)


def test_fail_members_of_an_unknown_role(role: Role) -> None:
    with refuses(RoleNotFound, "Role not found: editor.") as caught:
        list_role_members(operator=HOST_OPERATOR, name="editor")
    assert "`editors`" in caught.value.fix
    with pytest.raises(RoleNotFound):
        list_role_members(operator=HOST_OPERATOR, name="\0")


def show(name: str, *options: str) -> str:
    return run_command("show_role", name, "--tenant", "acme", *options)


def test_success_holders_of_a_role_and_their_paths(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    role = make_role(tenant)
    make_grant(role, all_group, source="scaikey", granted_by="ScaiKey")
    make_grant(role, anna)
    make_grant(role, make_person(tenant, "berta", suspended_by_hand_at=EARLIER))
    assert show("editors") == (
        "Role      editors\n"
        "Name      Editors\n"
        "Tenant    acme\n"
        "Built in  no\n"
        f"ID        {role.pk}\n"
        "Created   2026-11-01 08:30:00 UTC\n"
        "\n"
        "Grants\n"
        "Granted to             Source   Granted by  Granted\n"
        "@anna.acme:localhost   manual   root        2026-11-01 08:30:00 UTC\n"
        "@berta.acme:localhost  manual   root        2026-11-01 08:30:00 UTC\n"
        "group All              scaikey  ScaiKey     2026-11-01 08:30:00 UTC\n"
        "\n"
        "Holders\n"
        "Name   FQID                   Status     How\n"
        "Anna   @anna.acme:localhost   active     directly\n"
        "Anna   @anna.acme:localhost   active     through Backend > Engineering > All\n"
        "Berta  @berta.acme:localhost  suspended  directly\n"
    )


def test_success_the_shortest_of_several_paths(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    add_members(tenant.groups.get(name="Engineering"), anna)
    make_grant(make_role(tenant), all_group)
    role = show_role(operator=HOST_OPERATOR, name="editors", tenant="acme")["role"]
    assert [row["path"] for row in role["holders"]] == [["Engineering", "All"]]
    found = show_role(operator=HOST_OPERATOR, name=str(anna.pk), tenant="acme")["participant"]
    assert [row["path"] for row in found["roles"]] == [["Engineering", "All"]]


def test_success_roles_of_a_participant_and_their_paths(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    make_grant(make_role(tenant, "auditors"), anna, source="scaikey", granted_by="ScaiKey")
    make_grant(make_role(tenant), all_group)
    make_grant(make_role(tenant, "others"), make_group(tenant, "Others"))
    assert show("anna@acme.example") == (
        "Name    Anna\n"
        "E-mail  anna@acme.example\n"
        "FQID    @anna.acme:localhost\n"
        "Tenant  acme\n"
        "Status  active\n"
        f"ID      {anna.pk}\n"
        "\n"
        "Roles\n"
        "Role      How                                  Source   Granted by  Granted\n"
        "auditors  directly                             scaikey  ScaiKey     "
        "2026-11-01 08:30:00 UTC\n"
        "editors   through Backend > Engineering > All  manual   root        "
        "2026-11-01 08:30:00 UTC\n"
    )


def test_success_deactivated_rows_give_no_roles(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    role = make_role(tenant)
    make_grant(role, all_group)
    tenant.groups.filter(name="Engineering").update(absent_since=EARLIER)
    assert "No one holds this role.\n" in show("editors")
    assert "This participant holds no roles.\n" in show(str(anna.pk))
    tenant.groups.update(absent_since=None)
    make_grant(make_role(tenant, "gone"), make_group(tenant, "Gone", absent_since=EARLIER))
    assert "group Gone, removed from ScaiKey" in show("gone")


def test_success_built_in_role_without_a_row(tenant: Tenant) -> None:
    assert json.loads(show("super_admin", "--json")) == {
        "role": {
            "id": None,
            "tenant_id": str(tenant.pk),
            "slug": "super_admin",
            "name": "Super administrator",
            "description": "",
            "built_in": True,
            "created_at": None,
            "tenant": "acme",
            "grants": [],
            "holders": [],
        }
    }


def test_success_a_role_by_its_id(role: Role) -> None:
    assert show(str(role.pk)).startswith("Role      editors\n")


def test_fail_both_a_role_and_a_participant(tenant: Tenant, role: Role) -> None:
    make_person(tenant, "ed", local_id="editors")
    with pytest.raises(AmbiguousName) as caught:
        show("editors")
    assert caught.value.message == (
        "editors is both a role of tenant acme and a participant (@editors:localhost)."
    )
    assert caught.value.fix == "Add --role or --participant."
    assert show("editors", "--role").startswith("Role      editors\n")
    assert show("editors", "--participant").startswith("Name    Ed\n")


def test_fail_a_role_and_several_participants(tenant: Tenant, role: Role) -> None:
    for number in range(2):
        make_person(tenant, f"e{number}", local_id="editors", server_name=f"s{number}.example")
    with pytest.raises(AmbiguousName) as caught:
        show("editors")
    assert caught.value.fix == (
        "Add --role for the role of that name. Use the full @name:server of the one you mean, or "
        "its ID."
    )


def test_fail_neither_a_role_nor_a_participant(tenant: Tenant) -> None:
    with pytest.raises(RoleNotFound) as caught:
        show("nope")
    assert caught.value.message == "Role or participant not found in tenant acme: nope."
    assert caught.value.fix == (
        "Run `scaiwave role list --tenant acme` to see its roles, or `scaiwave admin "
        "list-participants --tenant acme --search <name>` to find people."
    )
    with refuses(RoleNotFound, "Role not found in tenant acme: no\0pe."):
        show("no\0pe", "--role")
    with pytest.raises(ParticipantNotFound):
        show("super_admin", "--participant")


def test_fail_role_of_another_tenant() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    role = make_role(globex)
    with pytest.raises(RoleNotFound):
        show(str(role.pk))
    with pytest.raises(RoleNotFound):
        show_role(operator=make_tenant_admin(acme), name=str(make_person(globex).pk), tenant="acme")
