from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.errors import WorkspaceNotFound
from rooms.models import Room, RoomMedia, RoomMember
from rooms.queries.rooms import list_rooms
from scaiwave.errors import UsageError
from tenants.errors import TenantNotFound
from tenants.models import Participant, Tenant
from tests.scaiwave.row_factories import (
    NOW,
    make_event,
    make_media,
    make_participant,
    make_room,
    make_tenant,
    make_workspace,
)
from tests.tenants.factories import HOST_OPERATOR, make_tenant_admin, run_command

pytestmark = pytest.mark.django_db


def list_names(**options: Any) -> list[str]:
    return [row["name"] for row in list_rooms(operator=HOST_OPERATOR, tenant="acme", **options)]


def join(joined: Room, person: Participant, membership: str = "join") -> None:
    RoomMember.objects.create(
        tenant=joined.tenant, room=joined, participant=person, membership=membership, joined_at=NOW
    )


@pytest.fixture
def acme() -> Tenant:
    """Create four rooms, one without a name, and one of another tenant."""
    acme, other = make_tenant(), make_tenant("other")
    main, side = make_workspace(acme), make_workspace(acme, "side")
    anna = make_participant(acme)
    make_room(main, anna, "beta", room_alias="second", state="archived")
    make_room(main, anna, "Alpha", room_type="public", room_alias="launch")
    make_room(side, anna, "Übung", room_type="incognito")
    make_room(side, anna, "", room_type="dm")
    make_room(make_workspace(other), make_participant(other, "olga"), "Elsewhere")
    return acme


def test_success_filters(acme: Tenant) -> None:
    assert list_names() == ["Alpha", "beta", "Übung", ""]
    assert list_names(room_type="dm") == [""]
    assert list_names(state="archived") == ["beta"]
    assert list_names(workspace="side") == ["Übung", ""]
    assert list_names(workspace="side", room_type="incognito", state="open") == ["Übung"]
    assert list_names(limit=2) == ["Alpha", "beta"]
    assert list_names(room_type="bridge") == []


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("ALPH", ["Alpha"]),
        ("üBUNG", ["Übung"]),
        ("laun", ["Alpha"]),
        ("con", ["beta"]),
        (".", []),
        ("%", []),
        ("a\0", []),
        ("\udcff", []),
    ],
)
def test_success_search_of_name_and_alias(acme: Tenant, search: str, expected: list[str]) -> None:
    assert list_names(search=search) == expected


def test_success_figures_of_each_room() -> None:
    acme, other = make_tenant(), make_tenant("other")
    main, anna, berta = (
        make_workspace(acme),
        make_participant(acme),
        make_participant(acme, "berta"),
    )
    lobby, empty = make_room(main, anna), make_room(main, anna, "Quiet")
    join(lobby, anna)
    join(lobby, berta, "leave")
    join(empty, berta, "invite")
    for position in (3, 1, 2):
        make_event(lobby, position, created_at=NOW + timedelta(minutes=position))
    elsewhere = make_room(make_workspace(other), make_participant(other, "olga"))
    make_event(elsewhere, 1)
    for file, name in (("four", "a"), ("four", "b"), ("virus", "c"), ("seven!!", "a")):
        attachment = acme.media.filter(size=len(file)).first() or make_media(
            acme, file, scan_status="infected" if file == "virus" else "clean"
        )
        RoomMedia.objects.create(
            tenant=acme, room=lobby, media=attachment, name=name, created_at=NOW
        )
    keys = ("name", "members", "events", "media_bytes", "last_event_at")
    rows = list_rooms(operator=HOST_OPERATOR, tenant="acme")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("Lobby", 1, 3, 11, NOW + timedelta(minutes=3)),
        ("Quiet", 0, 0, 0, None),
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"room_type": "public"}, None),
        ({"room_type": "dm", "state": "closed"}, None),
        ({"room_type": "sidekick"}, "its type is sidekick"),
        ({"room_type": "bridge"}, "its type is bridge"),
        ({"room_type": "incognito"}, "its type is incognito"),
        ({"scope_kind": "incognito"}, "it is incognito"),
        ({"is_federated": True}, "it is federated"),
    ],
)
def test_success_exportable(fields: dict[str, Any], reason: str | None) -> None:
    acme = make_tenant()
    make_room(make_workspace(acme), make_participant(acme), **fields)
    row = next(list_rooms(operator=HOST_OPERATOR, tenant="acme"))
    assert (row["exportable"], row["reason"]) == (reason is None, reason)


def test_success_empty_values_sort_last_in_both_directions(acme: Tenant) -> None:
    make_event(Room.objects.get(name="Übung"), 1)
    make_event(Room.objects.get(name="beta"), 2, created_at=NOW + timedelta(days=1))
    assert list_names(sort="alias") == ["Alpha", "beta", "Übung", ""]
    assert list_names(sort="-alias") == ["beta", "Alpha", "Übung", ""]
    assert list_names(sort="last-event") == ["Übung", "beta", "Alpha", ""]
    assert list_names(sort="-last-event", limit=1) == ["beta"]
    assert list_names(sort="events", reverse=True) == ["beta", "Übung", "Alpha", ""]
    assert list_names(reverse=True) == ["Übung", "beta", "Alpha", ""]


def test_success_as_many_queries_for_30_rooms_as_for_3() -> None:
    acme = make_tenant()
    main, anna = make_workspace(acme), make_participant(acme)
    counts = []
    for numbers in (range(1, 4), range(4, 31)):
        for number in numbers:
            lobby = make_room(main, anna, f"Room {number}")
            make_event(lobby, number)
            join(lobby, anna)
        with CaptureQueriesContext(connection) as queries:
            list(list_rooms(operator=HOST_OPERATOR, tenant="acme", workspace="main", sort="events"))
        counts.append(len(queries))
    assert counts == [4, 4]


@pytest.mark.only_on("sqlite")
def test_success_events_are_counted_by_their_index(acme: Tenant) -> None:
    with CaptureQueriesContext(connection) as queries:
        list(list_rooms(operator=HOST_OPERATOR, tenant="acme"))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[-1]['sql']}")
        plan = [step for *_, step in cursor.fetchall() if "sw_events" in step]
    assert len(plan) == 2
    assert all("INDEX sw_events_room" in step for step in plan)


def test_success_plain_table(acme: Tenant) -> None:
    launch = Room.objects.get(name="Alpha")
    make_event(launch, 1)
    join(launch, launch.creator)
    beta = Room.objects.get(name="beta")
    assert run_command("list_rooms", "--tenant", "acme", "--workspace", "main") == (
        f"{'ID':<36}  Name   Alias   Type    State     Workspace  Members  Events  Media  "
        "Last event               Exportable\n"
        f"{launch.pk}  Alpha  launch  public  open      main             1       1    0 B  "
        "2026-03-04 05:06:07 UTC  yes\n"
        f"{beta.pk}  beta   second  group   archived  main             0       0    0 B  "
        "-                        yes\n"
    )


def test_success_json_has_every_key(acme: Tenant) -> None:
    beta = Room.objects.get(name="beta")
    assert json.loads(
        run_command("list_rooms", "--tenant", "acme", "--search", "bet", "--json")
    ) == {
        "rooms": [
            {
                "id": str(beta.pk),
                "name": "beta",
                "alias": "second",
                "type": "group",
                "state": "archived",
                "workspace": "main",
                "workspace_id": str(beta.workspace_id),
                "members": 0,
                "events": 0,
                "media_bytes": 0,
                "last_event_at": None,
                "exportable": True,
                "reason": None,
                "is_public": False,
                "is_federated": False,
                "tenant_id": str(acme.pk),
                "creator_id": str(beta.creator_id),
                "created_at": "2026-03-04T05:06:07Z",
                "updated_at": "2026-03-04T05:06:07Z",
            }
        ]
    }


def test_success_no_rooms(acme: Tenant) -> None:
    assert json.loads(run_command("list_rooms", "--tenant=acme", "--type=bridge", "--json")) == {
        "rooms": []
    }


def test_fail_unknown_column_and_workspace(acme: Tenant) -> None:
    with pytest.raises(UsageError) as caught:
        list_names(sort="-size")
    assert caught.value.message == "Unknown sort column: size."
    assert caught.value.fix == (
        "Sort by one of name, alias, type, state, workspace, members, events, media, last-event, "
        "created. Put a minus before it to reverse the order: --sort=-events."
    )
    with pytest.raises(WorkspaceNotFound):
        list_names(workspace="nowhere")


def test_fail_outside_the_scope(acme: Tenant) -> None:
    with pytest.raises(TenantNotFound) as caught:
        list_rooms(
            operator=make_tenant_admin(make_tenant("globex", scaikey_tenant_id="tnt_globex")),
            tenant="acme",
        )
    assert caught.value.message == "Tenant not found: acme."
