from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.errors import RoomNotFound, WorkspaceNotFound
from rooms.lookup.resolve import resolve_room, resolve_workspace
from scaiwave.core.operators import Operator, OperatorRole
from tenants.errors import AmbiguousName
from tests.scaiwave.row_factories import make_participant, make_room, make_tenant, make_workspace
from tests.tenants.factories import HOST_OPERATOR, make_tenant_admin

pytestmark = pytest.mark.django_db


def test_success_room_by_id_and_by_alias() -> None:
    acme = make_tenant()
    lobby = make_room(make_workspace(acme), make_participant(acme), room_alias="lobby")
    with CaptureQueriesContext(connection) as queries:
        for name in (str(lobby.pk), str(lobby.pk).upper(), lobby.pk.hex, "lobby"):
            resolved = resolve_room(HOST_OPERATOR, name, tenant=acme)
            assert (resolved, resolved.creator.tenant_id) == (lobby, acme.pk)
            assert (resolved.workspace.slug, resolved.tenant.slug) == ("main", "acme")
    assert len(queries) == 4


def test_success_workspace_by_id_and_by_slug() -> None:
    acme, globex = make_tenant(), make_tenant("globex")
    main = make_workspace(acme)
    make_workspace(globex)
    for name in (str(main.pk), "main"):
        assert resolve_workspace(HOST_OPERATOR, name, tenant=acme) == main


@pytest.mark.parametrize(
    "name",
    ["", "Lobby", "LOBBY", "a\0", "\udcff", "87705c77-8c7d-4a07-aca9-e91d6df09604", "x" * 9999],
)
def test_fail_unknown(name: str) -> None:
    acme = make_tenant()
    make_room(make_workspace(acme), make_participant(acme), room_alias="lobby")
    with pytest.raises(RoomNotFound) as no_room:
        resolve_room(HOST_OPERATOR, name, tenant=acme)
    assert no_room.value.message == f"Room not found in tenant acme: {name}."
    with pytest.raises(WorkspaceNotFound) as no_workspace:
        resolve_workspace(HOST_OPERATOR, name, tenant=acme)
    assert no_workspace.value.message == f"Workspace not found in tenant acme: {name}."


def test_fail_rooms_of_another_tenant_and_outside_the_scope() -> None:
    acme = make_tenant("acme", scaikey_tenant_id="tnt_acme")
    globex = make_tenant("globex", scaikey_tenant_id="tnt_globex")
    lobby = make_room(make_workspace(acme), make_participant(acme), room_alias="lobby")
    for operator, searched in ((HOST_OPERATOR, globex), (make_tenant_admin(globex), acme)):
        for name in (str(lobby.pk), "lobby"):
            with pytest.raises(RoomNotFound):
                resolve_room(operator, name, tenant=searched)
        with pytest.raises(WorkspaceNotFound):
            resolve_workspace(operator, str(lobby.workspace_id), tenant=searched)
    assert resolve_room(make_tenant_admin(acme), "lobby", tenant=acme) == lobby


def test_fail_alias_that_equals_an_id() -> None:
    acme = make_tenant()
    main, anna = make_workspace(acme), make_participant(acme)
    lobby = make_room(main, anna)
    other = make_room(main, anna, "Other", room_alias=str(lobby.pk))
    with pytest.raises(AmbiguousName) as caught:
        resolve_room(HOST_OPERATOR, str(lobby.pk), tenant=acme)
    assert caught.value.message == (
        f"{lobby.pk} is ambiguous: {lobby.pk} (Lobby); {other.pk} (Other)."
    )
    assert caught.value.fix == (
        "The alias or slug of one is the ID of the other. Use the other name of the one you mean."
    )
    assert resolve_room(HOST_OPERATOR, str(other.pk), tenant=acme) == other
    make_workspace(acme, str(main.pk))
    with pytest.raises(AmbiguousName):
        resolve_workspace(HOST_OPERATOR, str(main.pk), tenant=acme)


def test_fail_the_name_of_a_room_leads_to_its_id() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex", scaikey_tenant_id="tnt_globex")
    lobby = make_room(make_workspace(acme), make_participant(acme), "Lobby 1")
    make_room(make_workspace(globex), make_participant(globex), "Lobby 1")
    with pytest.raises(RoomNotFound) as caught:
        resolve_room(HOST_OPERATOR, "lobby 1", tenant=acme)
    assert caught.value.fix == (f"Rooms are named by ID or alias. The ID of lobby 1 is {lobby.pk}.")
    with pytest.raises(RoomNotFound) as outside:
        resolve_room(make_tenant_admin(globex), "Lobby 1", tenant=acme)
    assert str(lobby.pk) not in outside.value.fix


def test_fail_names_the_nearest_of_the_same_tenant() -> None:
    acme = make_tenant("acme", scaikey_tenant_id="tnt_acme")
    globex = make_tenant("globex", scaikey_tenant_id="tnt_globex")
    anna, main = make_participant(acme), make_workspace(acme)
    make_room(main, anna, room_alias="lobby")
    make_room(main, anna, "Nameless")
    with pytest.raises(RoomNotFound) as no_room:
        resolve_room(HOST_OPERATOR, "lbby", tenant=acme)
    assert no_room.value.fix == (
        "Did you mean `lobby`? `scaiwave room list --tenant acme` lists all."
    )
    with pytest.raises(WorkspaceNotFound) as no_workspace:
        resolve_workspace(HOST_OPERATOR, "mian", tenant=acme)
    assert no_workspace.value.fix == (
        "Did you mean `main`? `scaiwave room workspaces --tenant acme` lists all."
    )
    outsiders = [
        (HOST_OPERATOR, globex),
        (make_tenant_admin(globex), acme),
        (Operator("anna", OperatorRole.PARTICIPANT, tenant_id=acme.scaikey_tenant_id), acme),
    ]
    for operator, searched in outsiders:
        with pytest.raises(RoomNotFound) as unnamed:
            resolve_room(operator, "lbby", tenant=searched)
        assert unnamed.value.fix == (
            f"Run `scaiwave room list --tenant {searched.slug}` to list the rooms of a tenant."
        )


def test_fail_neighbours_of_rooms_are_read_from_an_index() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads a small table without its index")
    with CaptureQueriesContext(connection) as queries, pytest.raises(RoomNotFound):
        resolve_room(HOST_OPERATOR, "lbby", tenant=make_tenant())
    neighbours = [query["sql"] for query in queries.captured_queries if "LIMIT 200" in query["sql"]]
    assert len(neighbours) == 2
    for sql in neighbours:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert "INDEX sw_rooms_alias" in plan
        assert "TEMP B-TREE" not in plan
