"""Create the data of the live server, in a separate process."""

from __future__ import annotations

import base64
import random
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.models import Event, Room, RoomMedia, RoomMember, Workspace, WorkspaceMember
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

BIG_EVENTS = 800
"""Events of the room `big`: 15 KB each, incompressible, so that sockets can't buffer them all."""


def create_sample_data() -> dict[str, dict[str, str]]:
    acme = make_tenant("acme", scaikey_tenant_id="tnt_acme")
    globex = make_tenant("globex", scaikey_tenant_id="tnt_globex")
    people = {name: _make_person(acme, name) for name in ("anna", "berta", "carla", "emil")}
    _make_person(acme, "dora", suspended_by_hand_at=NOW)
    sales, other = make_workspace(acme, "sales"), make_workspace(globex, "other")
    side = make_workspace(acme, "side")
    for member_of, name, role in (
        (sales, "anna", "owner"),
        (sales, "berta", "editor"),
        (sales, "carla", "viewer"),
        (side, "carla", "editor"),
        (side, "emil", "viewer"),
    ):
        WorkspaceMember.objects.create(
            tenant=acme, workspace=member_of, participant=people[name], role=role, created_at=NOW
        )
    anna = people["anna"]
    rooms = {
        "lobby": _make_lobby(sales, people),
        "big": _make_big_room(sales, anna),
        "damaged": _make_damaged_room(sales, anna),
        "bridge": _add_member(make_room(sales, anna, "IRC", room_type="bridge"), anna),
        "elsewhere": make_room(other, _make_person(globex, "olga"), "Elsewhere"),
    }
    return {
        "rooms": {name: str(created.pk) for name, created in rooms.items()},
        "workspaces": {"sales": str(sales.pk), "other": str(other.pk)},
    }


def _make_person(tenant_: Tenant, name: str, **fields: Any) -> Participant:
    return make_participant(tenant_, name, scaikey_id=f"usr_{name}", **fields)


def _add_member(to_room: Room, person: Participant, membership: str = "join") -> Room:
    RoomMember.objects.create(
        tenant=to_room.tenant,
        room=to_room,
        participant=person,
        membership=membership,
        joined_at=NOW,
    )
    return to_room


def _make_lobby(in_workspace: Workspace, people: dict[str, Participant]) -> Room:
    """Anna has joined, Berta has left, Carla never was a member. The second event is a reply."""
    lobby = make_room(in_workspace, people["anna"], "Grüße aus 東京", room_alias="lobby")
    _add_member(lobby, people["anna"])
    _add_member(lobby, people["berta"], "leave")
    first = make_event(lobby, 1)
    make_event(
        lobby,
        2,
        sender=people["berta"],
        content={"msgtype": "swp.text", "body": "yes", "reply_to_event_id": str(first.pk)},
    )
    _attach(lobby, "whole", "whole")
    return lobby


def _make_big_room(in_workspace: Workspace, anna: Participant) -> Room:
    big = _add_member(make_room(in_workspace, anna, "Big"), anna)
    generator = random.Random(1)
    Event.objects.bulk_create(
        (
            Event(
                tenant=big.tenant,
                room=big,
                sender=anna,
                event_type="swp.room.message",
                content={"body": base64.b85encode(generator.randbytes(12_000)).decode()},
                stream_position=1000 + number,
                origin_ts=1_772_600_000,
                created_at=NOW,
            )
            for number in range(BIG_EVENTS)
        ),
        batch_size=100,
    )
    return big


def _make_damaged_room(in_workspace: Workspace, anna: Participant) -> Room:
    """Its attachment has the right size and wrong bytes, which is only detected at its end."""
    damaged = _add_member(make_room(in_workspace, anna, "Damaged"), anna)
    make_event(damaged, 3)
    _attach(damaged, "a" * 300_000, "b" * 300_000)
    return damaged


def _attach(to_room: Room, text: str, stored: str) -> None:
    attachment = make_media(to_room.tenant, text)
    default_storage.save(attachment.storage_name, ContentFile(stored.encode()))
    RoomMedia.objects.create(
        tenant=to_room.tenant, room=to_room, media=attachment, name="file.txt", created_at=NOW
    )
