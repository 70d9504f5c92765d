"""Remove attachments from a room, and their bytes if no other room has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from rooms.bundle.format import AVATAR_MEDIA, IMPORTED_SENDER
from rooms.imports.intents import delete_announced, release_files
from rooms.lookup.export_metadata import find_media_ids
from rooms.models import Event, Media, RemovedFile, Room, RoomImport, RoomMedia
from rooms.retention.removal import HoldGuard
from scaiwave.core.operators import Operator
from scaiwave.core.sql import batched
from tenants.lookup.resolve import parse_uuid

BATCH_SIZE = 50
"""Names per transaction."""


@dataclass(frozen=True)
class RemovedFiles:
    """`attachments` are names in a room; `files` are the files that no room has any longer."""

    attachments: int
    files: int
    file_bytes: int


def find_files(room: Room, going: Q, before: datetime | None) -> list[UUID]:
    """Return the names of files (keys of `RoomMedia`) that go with events of the room.

    `going` matches these events. A file that another event uses stays. One that no event uses goes
    if it was attached before that time.
    """
    links = RoomMedia.objects.filter(room=room)
    if not links.exists():
        return []
    events = Event.objects.filter(room=room)
    others = events.exclude(going)
    kept = find_media_ids(others) | _find_avatars(room, others)
    rows = links.order_by("pk").values_list("pk", "media_id", "created_at")
    candidates = [row for row in rows.iterator() if row[1] not in kept]
    old = {key for key, _, at in candidates if before is not None and at < before}
    used = find_media_ids(events.filter(going)) if len(old) < len(candidates) else set()
    return [key for key, media_id, _ in candidates if key in old or media_id in used]


def count_files(keys: Sequence[UUID], names_left: dict[UUID, int]) -> RemovedFiles:
    """Return what `remove_files` would remove; the calls for all rooms share `names_left`."""
    sizes = []
    is_removed = Exists(RemovedFile.objects.filter(media=OuterRef("media")))
    for batch in batched(keys):
        names = RoomMedia.objects.filter(pk__in=batch).alias(is_removed=is_removed)
        names = names.annotate(total=Count("media__in_rooms"), kept=F("is_removed"))
        for media_id, size, total, kept in names.values_list(
            "media", "media__size", "total", "kept"
        ):
            names_left[media_id] = names_left.get(media_id, total + kept) - 1
            if not names_left[media_id]:
                sizes.append(size)
    return RemovedFiles(len(keys), len(sizes), sum(sizes))


def remove_files(
    room: Room,
    keys: Sequence[UUID],
    *,
    guard: HoldGuard,
    operator: Operator,
    now: datetime,
    record: Callable[[RemovedFiles], None],
) -> Iterator[RemovedFiles]:
    """Remove these names from the room in batches; `record` is called in each transaction.

    Raises `HoldsChanged`, `MediaVersioned`, and the errors of the media store.
    """
    for batch in batched(keys, BATCH_SIZE):
        with transaction.atomic():
            guard.check()
            links = RoomMedia.objects.filter(pk__in=batch)
            sizes = dict(links.values_list("media", "media__size"))
            names = links.delete()[0]
            release_files(sizes.keys(), operator=operator, tenant_id=room.tenant_id, now=now)
            for key in Media.objects.filter(pk__in=sizes).values_list("pk", flat=True):
                del sizes[key]
            result = RemovedFiles(names, len(sizes), sum(sizes.values()))
            if names:
                record(result)
        delete_announced(room.tenant_id)
        yield result


def _find_avatars(room: Room, events: QuerySet[Event]) -> set[UUID]:
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
