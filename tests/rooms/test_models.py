"""Constraints that the database enforces for every program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError, RestrictedError

from rooms.models import Event, Media, Room, RoomMedia, RoomMember, WorkspaceMember
from scaiwave.core.sql import execute, fetch, uuid_param
from scaiwave.ids import new_id
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def lobby() -> Room:
    tenant = row_factories.make_tenant()
    return row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )


def make_member(room: Room, **fields: Any) -> RoomMember:
    return RoomMember.objects.create(
        tenant=room.tenant, room=room, participant=room.creator, **fields
    )


def make_workspace_member(room: Room, **fields: Any) -> WorkspaceMember:
    joined = {
        "workspace": room.workspace,
        "participant": room.creator,
        "created_at": row_factories.NOW,
    }
    return WorkspaceMember.objects.create(tenant=room.tenant, **joined, **fields)


def call_twice(make: Callable[[], object]) -> None:
    make()
    make()


REFUSED: dict[str, Callable[[Room], object]] = {
    "room type": lambda room: row_factories.make_room(
        room.workspace, room.creator, room_type="cave"
    ),
    "room state": lambda room: row_factories.make_room(room.workspace, room.creator, state="lost"),
    "scope": lambda room: row_factories.make_room(
        room.workspace, room.creator, scope_kind="public"
    ),
    "same alias": lambda room: call_twice(
        lambda: row_factories.make_room(room.workspace, room.creator, room_alias="#lobby")
    ),
    "same workspace slug": lambda room: row_factories.make_workspace(
        room.tenant, room.workspace.slug
    ),
    "workspace role": lambda room: make_workspace_member(room, role="king"),
    "workspace member twice": lambda room: call_twice(lambda: make_workspace_member(room)),
    "membership": lambda room: make_member(room, membership="asleep"),
    "power over 100": lambda room: make_member(room, power_level=101),
    "member twice": lambda room: call_twice(lambda: make_member(room)),
    "position taken": lambda room: call_twice(lambda: row_factories.make_event(room, 1)),
    "position 0": lambda room: row_factories.make_event(room, 0),
    "same bytes twice": lambda room: call_twice(lambda: row_factories.make_media(room.tenant)),
    "short hash": lambda room: row_factories.make_media(room.tenant, sha256="abc"),
    "path as hash": lambda room: row_factories.make_media(room.tenant, sha256="../" * 21 + "a"),
    "hash in capitals": lambda room: row_factories.make_media(room.tenant, sha256="A" * 64),
    "scan status": lambda room: row_factories.make_media(room.tenant, scan_status="odd"),
    "size below 0": lambda room: row_factories.make_media(room.tenant, size=-1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fail_database_refuses(name: str, lobby: Room) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        REFUSED[name](lobby)


def test_success_rows_that_differ_are_accepted(lobby: Room) -> None:
    other = row_factories.make_tenant("other")
    row_factories.make_workspace(other, lobby.workspace.slug)
    row_factories.make_media(lobby.tenant)
    row_factories.make_media(other)
    row_factories.make_room(lobby.workspace, lobby.creator)
    elsewhere = row_factories.make_room(
        row_factories.make_workspace(other, "second"), row_factories.make_participant(other)
    )
    row_factories.make_event(lobby, 1)
    row_factories.make_event(elsewhere, 1)
    assert (Room.objects.count(), Media.objects.count(), Event.objects.count()) == (3, 2, 2)


def test_success_one_media_has_several_names_in_a_room(lobby: Room) -> None:
    link = {"tenant": lobby.tenant, "room": lobby, "media": row_factories.make_media(lobby.tenant)}
    for name in ("a.png", "b.png"):
        RoomMedia.objects.create(name=name, created_at=row_factories.NOW, **link)
    with pytest.raises(IntegrityError), transaction.atomic():
        RoomMedia.objects.create(name="b.png", created_at=row_factories.NOW, **link)


def test_fail_media_of_a_room_and_senders_cannot_be_deleted(lobby: Room) -> None:
    media = row_factories.make_media(lobby.tenant)
    link = {"tenant": lobby.tenant, "room": lobby, "media": media}
    RoomMedia.objects.create(name="a.png", created_at=row_factories.NOW, **link)
    row_factories.make_event(lobby, 1)
    for referenced in (media, lobby.creator):
        with pytest.raises(RestrictedError):
            referenced.delete()


def change_and_check(change: Callable[[], object]) -> None:
    """Check foreign keys as at the end of a transaction."""
    with transaction.atomic():
        change()
        connection.check_constraints()


@pytest.mark.parametrize("column", ["room_id", "tenant_id", "sender_id"])
def test_fail_event_of_something_that_does_not_exist(column: str, lobby: Room) -> None:
    row_factories.make_event(lobby, 1)
    with pytest.raises(IntegrityError):
        change_and_check(lambda: Event.objects.update(**{column: new_id()}))


@pytest.mark.parametrize("table", ["sw_rooms", "sw_participants"])
def test_fail_deleting_what_an_event_needs(table: str, lobby: Room) -> None:
    """Another program deletes the room or the sender, of which only the event has a key."""
    sender = row_factories.make_participant(lobby.tenant, "bob")
    event = row_factories.make_event(lobby, 1, sender=sender)
    key = event.room_id if table == "sw_rooms" else event.sender_id
    with pytest.raises(IntegrityError):
        change_and_check(lambda: execute(f"DELETE FROM {table} WHERE id = %s", [uuid_param(key)]))


@pytest.mark.only_on("postgresql")
def test_fail_room_and_tenant_of_an_event_do_not_belong_together(lobby: Room) -> None:
    row_factories.make_event(lobby, 1)
    other = row_factories.make_tenant("other")
    for model in (Event, Room):
        with pytest.raises(IntegrityError):
            change_and_check(partial(model.objects.update, tenant=other))


def test_success_deleting_a_tenant_deletes_its_rows() -> None:
    tenant = row_factories.make_row_of_every_model(1)
    with pytest.raises(ProtectedError):  # A hold keeps it, also as a record once it is lifted.
        tenant.delete()
    tenant.holds.all().delete()
    tenant.delete()
    assert not Event.objects.exists()
    assert not Media.objects.exists()


def test_success_content_is_stored_unchanged(lobby: Room) -> None:
    content = {"body": "Grüße 東京 👋", "x": [1, 1.5, None, {"deep": True}], "": ""}
    event = row_factories.make_event(lobby, 1, content=content)
    event.refresh_from_db()
    assert event.content == content


def test_success_media_is_stored_by_tenant_and_hash(lobby: Room) -> None:
    media = row_factories.make_media(lobby.tenant)
    assert media.storage_name == f"tenant/{lobby.tenant_id}/{media.sha256}"


@pytest.mark.parametrize("owner", ["room", "tenant"])
def test_success_events_are_read_by_index_and_not_sorted(owner: str, lobby: Room) -> None:
    events = Event.objects.filter(**{owner: {"room": lobby, "tenant": lobby.tenant}[owner]})
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # PostgreSQL scans an empty table even if it has indexes.
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    plan = events.order_by("stream_position").filter(stream_position__gt=5).explain()
    assert "sw_events" in plan
    assert "B-TREE" not in plan
    assert "Sort" not in plan


@pytest.mark.only_on("postgresql")
def test_success_every_foreign_key_has_an_index_of_its_rows() -> None:
    """Without one, deleting what they refer to reads the whole table for each row."""
    sql = """
        SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f'
        AND NOT EXISTS (SELECT 1 FROM pg_index WHERE indrelid = conrelid AND indisvalid
                        AND indpred IS NULL AND indkey[0] = ANY(conkey))
    """
    assert fetch(sql) == []
