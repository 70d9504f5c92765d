from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.errors import WorkspaceNotFound
from rooms.lookup.rooms import SORTABLE, list_rooms
from rooms.models import Event, Room, RoomMedia, RoomMember
from scaiwave.core.errors import UsageError
from tenants.models import Participant, Tenant, TenantErasure
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
from tests.tools import count_examples

pytestmark = pytest.mark.django_db


def list_names(**options: Any) -> list[str]:
    return [row["name"] for row in list_rooms(operator=HOST_OPERATOR, tenant="acme", **options)]


def join(joined: Room, person: Participant, membership: str = "join") -> None:
    RoomMember.objects.create(
        tenant=joined.tenant, room=joined, participant=person, membership=membership, joined_at=NOW
    )


def test_success_the_largest_rooms_of_the_server(acme: Tenant) -> None:
    for name, number in (("Elsewhere", 3), ("beta", 2)):
        room = Room.objects.get(name=name)
        for position in range(number):
            make_event(room, position + 1)
    erased = make_tenant("erased")
    make_room(make_workspace(erased), make_participant(erased, "eve"), "Erased")
    TenantErasure.objects.create(tenant_id=erased.pk, begun_at=NOW)
    rows = list_rooms(operator=HOST_OPERATOR, sort="-events", limit=2)
    assert [(row["tenant"], row["name"], row["events"]) for row in rows] == [
        ("other", "Elsewhere", 3),
        ("acme", "beta", 2),
    ]
    acme.scaikey_tenant_id = "tnt_acme"
    acme.save()
    names = [row["name"] for row in list_rooms(operator=make_tenant_admin(acme))]
    assert names == ["Alpha", "beta", "Übung", ""]
    header, first = run_command("list_rooms", "--sort=-events", "--limit", "1").splitlines()
    assert (header.split()[0], first.split()[0]) == ("Tenant", "other")
    assert run_command("list_rooms", "--tenant", "acme").startswith("ID ")
    with pytest.raises(UsageError, match=r"\A--workspace needs --tenant\.\Z"):
        run_command("list_rooms", "--workspace", "main")


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
    [row] = list_rooms(operator=HOST_OPERATOR, tenant="acme")
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


NAMES = st.sampled_from(["", "a", "A", "b", "B", "ab", "é"])


@settings(
    max_examples=count_examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rooms=st.lists(st.tuples(NAMES, st.integers(0, 2)), max_size=7),
    sort=st.sampled_from([*SORTABLE]),
    reverse=st.booleans(),
    size=st.integers(1, 4),
)
def test_success_pages_add_up_to_the_list(
    acme: Tenant, rooms: list[tuple[str, int]], sort: str, reverse: bool, size: int
) -> None:
    """In the order of the column, empty values last, equal ones by name, each room once."""
    Event.objects.all().delete()
    Room.objects.all().delete()
    workspaces = list(acme.workspaces.order_by("slug"))
    creator = acme.participants.get()
    positions = itertools.count(1)
    for number, (name, events) in enumerate(rooms):
        room = make_room(
            workspaces[number % 2],
            creator,
            name,
            room_alias=f"{name}{number}" if number % 3 else "",
            created_at=NOW + timedelta(days=number % 2),
        )
        for _ in range(events):
            make_event(room, next(positions), created_at=NOW + timedelta(hours=number))
    options: dict[str, Any] = {"tenant": "acme", "sort": sort, "reverse": reverse}
    whole = list(list_rooms(operator=HOST_OPERATOR, **options))
    assert len(whole) == len(rooms)
    key = {"media": "media_bytes", "last-event": "last_event_at", "created": "created_at"}
    values = [_fold(row[key.get(sort, sort)]) for row in whole]
    filled = [value for value in values if value is not None]
    assert values == sorted(filled, reverse=reverse) + [None] * values.count(None)
    for _, equal in itertools.groupby(zip(values, whole, strict=True), key=lambda pair: pair[0]):
        names = [_fold(row["name"]) for _, row in equal]
        assert names == sorted(names, key=lambda name: (name is None, name))
    pages, after = [], None
    while True:
        page = list_rooms(operator=HOST_OPERATOR, **options, after=after, limit=size)
        pages.append(list(page))
        after = page.next_id
        if after is None:
            break
    assert [row["id"] for page in pages for row in page] == [row["id"] for row in whole]
    assert all(len(page) == size for page in pages[:-1])


def _fold(value: Any) -> Any:
    """Without case, as both databases do it for ASCII; None if it is empty."""
    return (value.lower() or None) if isinstance(value, str) else value


def test_fail_after_a_room_that_is_not_listed(acme: Tenant) -> None:
    elsewhere = Room.objects.get(name="Elsewhere")
    with pytest.raises(UsageError, match="Not in this list"):
        list_names(after=elsewhere.pk)


def test_success_next_page_is_named(acme: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    alpha = Room.objects.get(name="Alpha")
    call_command("list_rooms", "--tenant=acme", "--limit=1")
    assert capsys.readouterr().err == f"1 of 4 rooms. More: add --after {alpha.pk}\n"
    rest = run_command("list_rooms", "--tenant=acme", f"--after={alpha.pk}", "--csv")
    assert [line.split(",")[1] for line in rest.splitlines()] == ["name", "beta", "Übung", ""]


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


def test_success_json(acme: Tenant) -> None:
    words = ("list_rooms", "--tenant", "acme", "--search", "bet", "--json")
    [row] = json.loads(run_command(*words))["rooms"]
    assert row["id"] == str(Room.objects.get(name="beta").pk)
    assert (row["name"], row["alias"], row["state"]) == ("beta", "second", "archived")
    assert row["created_at"] == "2026-03-04T05:06:07Z"


def test_success_no_rooms(acme: Tenant) -> None:
    assert json.loads(run_command("list_rooms", "--tenant=acme", "--type=bridge", "--json")) == {
        "rooms": [],
        "next_id": None,
        "total": 0,
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
