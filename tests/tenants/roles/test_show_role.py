from __future__ import annotations

import json

import pytest

from tenants.errors import AmbiguousName, ParticipantNotFound, RoleNotFound
from tenants.roles.queries.roles import show_role
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
from tests.tenants.role_factories import make_grant, make_nested_groups, make_role

pytestmark = pytest.mark.django_db


def show(name: str, *options: str) -> str:
    return run_command("show_role", name, "--tenant", "acme", *options)


def test_success_holders_of_a_role_and_their_paths() -> None:
    tenant = make_tenant()
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


def test_success_the_shortest_of_several_paths() -> None:
    tenant = make_tenant()
    anna, all_group = make_nested_groups(tenant)
    add_members(tenant.groups.get(name="Engineering"), anna)
    make_grant(make_role(tenant), all_group)
    role = show_role(operator=HOST_OPERATOR, name="editors", tenant="acme")["role"]
    assert [row["path"] for row in role["holders"]] == [["Engineering", "All"]]
    found = show_role(operator=HOST_OPERATOR, name=str(anna.pk), tenant="acme")["participant"]
    assert [row["path"] for row in found["roles"]] == [["Engineering", "All"]]


def test_success_roles_of_a_participant_and_their_paths() -> None:
    tenant = make_tenant()
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


def test_success_deactivated_rows_give_no_roles() -> None:
    tenant = make_tenant()
    anna, all_group = make_nested_groups(tenant)
    role = make_role(tenant)
    make_grant(role, all_group)
    tenant.groups.filter(name="Engineering").update(absent_since=EARLIER)
    assert "No one holds this role.\n" in show("editors")
    assert "This participant holds no roles.\n" in show(str(anna.pk))
    tenant.groups.update(absent_since=None)
    make_grant(make_role(tenant, "gone"), make_group(tenant, "Gone", absent_since=EARLIER))
    assert "group Gone, removed from ScaiKey" in show("gone")


def test_success_built_in_role_without_a_row() -> None:
    make_tenant()
    assert json.loads(show("super_admin", "--json")) == {
        "role": {
            "id": None,
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


def test_success_a_role_by_its_id() -> None:
    role = make_role(make_tenant())
    assert show(str(role.pk)).startswith("Role      editors\n")


def test_fail_both_a_role_and_a_participant() -> None:
    tenant = make_tenant()
    make_role(tenant)
    make_person(tenant, "ed", local_id="editors")
    with pytest.raises(AmbiguousName) as caught:
        show("editors")
    assert caught.value.message == (
        "editors is both a role of tenant acme and a participant (@editors:localhost)."
    )
    assert caught.value.fix == "Add --role or --participant."
    assert show("editors", "--role").startswith("Role      editors\n")
    assert show("editors", "--participant").startswith("Name    Ed\n")


def test_fail_a_role_and_several_participants() -> None:
    tenant = make_tenant()
    make_role(tenant)
    for number in range(2):
        make_person(tenant, f"e{number}", local_id="editors", server_name=f"s{number}.example")
    with pytest.raises(AmbiguousName) as caught:
        show("editors")
    assert caught.value.fix == (
        "Add --role for the role of that name. Use the full @name:server of the one you mean, or "
        "its ID."
    )


def test_fail_neither_a_role_nor_a_participant() -> None:
    make_tenant()
    with pytest.raises(RoleNotFound) as caught:
        show("nope")
    assert caught.value.message == "Role or participant not found in tenant acme: nope."
    assert caught.value.fix == (
        "Run `scaiwave role list --tenant acme` to see its roles, or `scaiwave admin "
        "list-participants --tenant acme --search <name>` to find people."
    )
    with pytest.raises(RoleNotFound) as caught:
        show("no\0pe", "--role")
    assert caught.value.message == "Role not found in tenant acme: no\0pe."
    with pytest.raises(ParticipantNotFound):
        show("super_admin", "--participant")


def test_fail_role_of_another_tenant() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    role = make_role(globex)
    with pytest.raises(RoleNotFound):
        show(str(role.pk))
    with pytest.raises(RoleNotFound):
        show_role(operator=make_tenant_admin(acme), name=str(make_person(globex).pk), tenant="acme")
