"""The header of a room's bundle: whether it may be exported, its room, senders and media."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from rooms.bundle.format import (
    AVATAR_MEDIA,
    EXPORTABLE_ROOM_TYPES,
    FOREIGN_TYPES,
    IMPORTED_SENDER,
    MEDIA_KEYS,
)
from rooms.bundle.manifest.schema import (
    WHOLE_ROOM,
    MediaEntry,
    RoomInfo,
    Sender,
    TimeWindow,
    WorkspaceInfo,
    format_timestamp,
)
from rooms.models import Event, Room, RoomImport, RoomMedia
from rooms.models.rooms import INCOGNITO_SCOPE
from scaiwave.core.sql import batched
from tenants.lookup.resolve import parse_uuid
from tenants.models import Participant

_SENDER_FIELDS = ("display_name", "avatar_url", "local_id", "server_name", "participant_type")


def export_blocker(room: Room) -> str | None:
    """Return why a room can't be exported, as a clause such as "it is incognito"; None if it can.

    (ScaiWave docs, concepts/incognito-and-restricted.)
    """
    if room.scope_kind == INCOGNITO_SCOPE:
        return "it is incognito"
    if room.room_type not in EXPORTABLE_ROOM_TYPES:
        return f"its type is {room.room_type}"
    if room.is_federated:
        return "it is federated"
    return None


def get_room(pk: UUID) -> Room | None:
    """Return the room with its workspace; None if it was just deleted."""
    return Room.objects.select_related("workspace").filter(pk=pk).first()


def build_room_info(room: Room) -> RoomInfo:
    workspace = room.workspace
    return RoomInfo(
        id=str(room.pk),
        name=room.name,
        topic=room.topic,
        room_type=room.room_type,
        scope_kind=room.scope_kind,
        state=room.state,
        is_public=room.is_public,
        is_federated=room.is_federated,
        visibility=room.visibility,
        read_role_slugs=room.read_role_slugs,
        room_alias=room.room_alias,
        creator_id=str(room.creator_id),
        created_at=format_timestamp(room.created_at),
        workspace=WorkspaceInfo(id=str(workspace.pk), slug=workspace.slug, name=workspace.name),
    )


def get_senders(room: Room, window: TimeWindow, server_name: str) -> tuple[dict[str, Sender], int]:
    """Return the senders of all events in the window, by ID, and the number of these events."""
    events = _filter_events(room, window)
    keys: Iterable[UUID]
    if connection.vendor == "postgresql":  # It groups by hashing; SQLite would sort all events.
        counts = dict(events.values_list("sender").annotate(Count("pk")))
        keys, total = counts, sum(counts.values())
    else:
        keys, total = events.values_list("sender", flat=True).distinct(), events.count()
    return dict(sorted(iter_senders(keys, server_name), key=lambda item: item[0])), total


def _filter_events(room: Room, window: TimeWindow) -> QuerySet[Event]:
    events = Event.objects.filter(room=room)
    if window.first_second is not None:
        events = events.filter(origin_ts__gte=window.first_second)
    if window.end_second is not None:
        events = events.filter(origin_ts__lt=window.end_second)
    return events.order_by()


def iter_senders(keys: Iterable[UUID], server_name: str) -> Iterator[tuple[str, Sender]]:
    for batch in batched(keys):
        for participant in Participant.objects.filter(pk__in=batch).only(*_SENDER_FIELDS):
            yield (
                str(participant.pk),
                Sender(
                    display_name=participant.display_name,
                    avatar_url=participant.avatar_url,
                    fqid=participant.fqid(server_name),
                    participant_type=participant.participant_type,
                    is_foreign=participant.participant_type in FOREIGN_TYPES,
                ),
            )


def get_media(room: Room, window: TimeWindow = WHOLE_ROOM) -> list[MediaEntry]:
    """Return every name of every attachment; names of the same bytes follow each other.

    For a window, only the attachments that its events refer to.
    """
    if window == WHOLE_ROOM:
        return _list_media(RoomMedia.objects.filter(room=room))
    return get_media_of(room, _filter_events(room, window))


def get_media_of(room: Room, events: QuerySet[Event]) -> list[MediaEntry]:
    """Return the attachments of the room that these events refer to, in the same order."""
    used = sorted(find_media_ids(events.order_by()))
    found = (
        _list_media(RoomMedia.objects.filter(room=room, media__in=batch)) for batch in batched(used)
    )
    return [entry for entries in found for entry in entries]


def find_media_ids(events: QuerySet[Event]) -> set[UUID]:
    """Return the IDs of the attachments that events refer to."""
    columns = {
        f"{column}_{key}": KeyTextTransform(key, column)
        for column in ("content", "original_content")
        for key in MEDIA_KEYS
    }
    refers = Q(*((f"{name}__isnull", False) for name in columns), _connector=Q.OR)
    rows = events.annotate(**columns).filter(refers).values_list(*columns).distinct()
    texts = {text for row in rows.iterator() for text in row if text is not None}
    return {media_id for text in texts if (media_id := parse_uuid(str(text)))}


def find_avatars(room: Room, events: QuerySet[Event]) -> set[UUID]:
    """Return the IDs of files that are avatars of original senders."""
    if not RoomImport.objects.filter(room=room).exists():
        return set()
    avatar = KeyTextTransform("avatar_url", KeyTransform(IMPORTED_SENDER, "content"))
    urls = events.order_by().annotate(avatar=avatar).values_list("avatar", flat=True).distinct()
    found = (
        parse_uuid(url.removeprefix(AVATAR_MEDIA))
        for url in urls.filter(avatar__startswith=AVATAR_MEDIA)
    )
    return {key for key in found if key}


def _list_media(attachments: QuerySet[RoomMedia]) -> list[MediaEntry]:
    rows = attachments.order_by("media_id", "id").values_list(
        "media_id",
        "media__sha256",
        "media__size",
        "media__mime_type",
        "media__scan_status",
        "name",
    )
    return [MediaEntry(str(row[0]), *row[1:], missing=None) for row in rows.iterator()]
