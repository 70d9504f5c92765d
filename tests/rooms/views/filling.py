"""What the server of the tests has in its database; runs in a process of its own."""

from __future__ import annotations

import base64
import random
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.models import Event, Room, RoomMedia, RoomMember, Workspace, WorkspaceMember
from tenants.models import Participant, Tenant
from tests.scaiwave.rows import NOW, event, media, participant, room, tenant, workspace

BIG_EVENTS = 800
"""Of the room `big`: of 15 KB that can't be compressed, so more than what sockets hold."""


def fill() -> dict[str, dict[str, str]]:
    acme = tenant("acme", scaikey_tenant_id="tnt_acme")
    globex = tenant("globex", scaikey_tenant_id="tnt_globex")
    people = {name: _person(acme, name) for name in ("anna", "berta", "carla", "emil")}
    _person(acme, "dora", suspended_by_hand_at=NOW)
    sales, other = workspace(acme, "sales"), workspace(globex, "other")
    side = workspace(acme, "side")
    for place, name, role in (
        (sales, "anna", "owner"),
        (sales, "berta", "editor"),
        (sales, "carla", "viewer"),
        (side, "carla", "editor"),
        (side, "emil", "viewer"),
    ):
        WorkspaceMember.objects.create(
            tenant=acme, workspace=place, participant=people[name], role=role, created_at=NOW
        )
    anna = people["anna"]
    rooms = {
        "lobby": _lobby(sales, people),
        "big": _big(sales, anna),
        "damaged": _damaged(sales, anna),
        "bridge": _joined(room(sales, anna, "IRC", room_type="bridge"), anna),
        "elsewhere": room(other, _person(globex, "olga"), "Elsewhere"),
    }
    return {
        "rooms": {name: str(made.pk) for name, made in rooms.items()},
        "workspaces": {"sales": str(sales.pk), "other": str(other.pk)},
    }


def _person(of: Tenant, name: str, **fields: Any) -> Participant:
    return participant(of, name, scaikey_id=f"usr_{name}", **fields)


def _joined(of: Room, person: Participant, membership: str = "join") -> Room:
    RoomMember.objects.create(
        tenant=of.tenant, room=of, participant=person, membership=membership, joined_at=NOW
    )
    return of


def _lobby(place: Workspace, people: dict[str, Participant]) -> Room:
    """Anna is in it; Berta has left; Carla never was. The second event answers the first."""
    lobby = room(place, people["anna"], "Grüße aus 東京", room_alias="lobby")
    _joined(lobby, people["anna"])
    _joined(lobby, people["berta"], "leave")
    first = event(lobby, 1)
    event(
        lobby,
        2,
        sender=people["berta"],
        content={"msgtype": "swp.text", "body": "yes", "reply_to_event_id": str(first.pk)},
    )
    _shown(lobby, "whole", "whole")
    return lobby


def _big(place: Workspace, anna: Participant) -> Room:
    big = _joined(room(place, anna, "Big"), anna)
    chance = random.Random(1)
    Event.objects.bulk_create(
        (
            Event(
                tenant=big.tenant,
                room=big,
                sender=anna,
                event_type="swp.room.message",
                content={"body": base64.b85encode(chance.randbytes(12_000)).decode()},
                stream_position=1000 + number,
                origin_ts=1_772_600_000,
                created_at=NOW,
            )
            for number in range(BIG_EVENTS)
        ),
        batch_size=100,
    )
    return big


def _damaged(place: Workspace, anna: Participant) -> Room:
    """Its attachment has the right size and other bytes than it should, which shows at its end."""
    damaged = _joined(room(place, anna, "Damaged"), anna)
    event(damaged, 3)
    _shown(damaged, "a" * 300_000, "b" * 300_000)
    return damaged


def _shown(of: Room, text: str, stored: str) -> None:
    bytes_ = media(of.tenant, text)
    default_storage.save(bytes_.storage_name, ContentFile(stored.encode()))
    RoomMedia.objects.create(
        tenant=of.tenant, room=of, media=bytes_, name="file.txt", created_at=NOW
    )
