"""What a bundle says before its events: the room, its senders and its media."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, QuerySet

from rooms.bundle.format import FOREIGN_TYPES
from rooms.bundle.time_window import Window
from rooms.bundle.writer import Attachment, Sender, format_timestamp
from rooms.models import Event, Room, RoomMedia
from tenants.models import Participant

_AT_ONCE = 500


def serialize_room(room: Room) -> dict[str, Any]:
    workspace = room.workspace
    return {
        "id": str(room.pk),
        "name": room.name,
        "topic": room.topic,
        "room_type": room.room_type,
        "scope_kind": room.scope_kind,
        "state": room.state,
        "is_public": room.is_public,
        "is_federated": room.is_federated,
        "visibility": room.visibility,
        "read_role_slugs": room.read_role_slugs,
        "room_alias": room.room_alias,
        "creator_id": str(room.creator_id),
        "created_at": format_timestamp(room.created_at),
        "workspace": {
            "id": str(workspace.pk),
            "slug": workspace.slug,
            "name": workspace.name,
        },
    }


def get_senders(room: Room, window: Window, server_name: str) -> tuple[list[Sender], int]:
    """Everybody who sent an event in the window, by id, and how many events there are."""
    events = Event.objects.filter(room=room)
    if window.first_second is not None:
        events = events.filter(origin_ts__gte=window.first_second)
    if window.end_second is not None:
        events = events.filter(origin_ts__lt=window.end_second)
    keys, total = _keys_and_total(events.order_by())
    return sorted(_people(keys, server_name), key=lambda sender: sender.id), total


def _keys_and_total(events: QuerySet[Event]) -> tuple[Iterable[UUID], int]:
    """One query where the database groups by hashing; SQLite would sort all events for that."""
    if connection.vendor == "postgresql":
        counts = dict(events.values_list("sender").annotate(Count("pk")))
        return counts, sum(counts.values())
    return events.values_list("sender", flat=True).distinct(), events.count()


def _people(keys: Iterable[UUID], server_name: str) -> Iterator[Sender]:
    waiting = iter(keys)
    while some := list(islice(waiting, _AT_ONCE)):
        for person in Participant.objects.filter(pk__in=some):
            yield Sender(
                str(person.pk),
                person.display_name,
                person.avatar_url,
                person.fqid(server_name),
                person.participant_type,
                person.participant_type in FOREIGN_TYPES,
            )


def get_media(room: Room) -> list[Attachment]:
    """Every name of every attachment; those of the same bytes follow each other."""
    rows = (
        RoomMedia.objects.filter(room=room)
        .order_by("media_id", "id")
        .values_list(
            "media_id",
            "media__sha256",
            "media__size",
            "media__mime_type",
            "media__scan_status",
            "name",
        )
    )
    return [Attachment(str(row[0]), *row[1:]) for row in rows.iterator()]


def get_room(pk: UUID) -> Room | None:
    """None when it was deleted just now."""
    return Room.objects.select_related("workspace", "tenant").filter(pk=pk).first()
