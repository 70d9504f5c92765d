"""Delete the rows and files of a deleted room for good, in batches.

Each batch is a short transaction, in which no hold may cover its rows. Nothing but the rows
themselves records the progress, so a purge that ends in any way is continued by the next one. The
row of the room goes last, with the audit entry.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet, Sum

from rooms.exports.chain_cache import delete_served
from rooms.imports.intents import delete_announced, release_files
from rooms.lookup.holds import contains_held, find_hold_on_room
from rooms.models import (
    Event,
    Media,
    RemovedFile,
    Room,
    RoomMedia,
    RoomMember,
    SearchDocument,
)
from rooms.search import documents
from rooms.search.backend import open_index
from rooms.search.base import SearchIndex
from rooms.search.schema import forget_deleted_words
from scaiwave.console.progress import ProgressCallback, ProgressFactory, null_progress_factory
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import execute, fetch_one, uuid_param
from scaiwave.storage.media import MediaStore
from tenants.audit.record import record_audit
from tenants.holds.queries import block_new_holds, build_hold_error
from tenants.lookup.restoration import require_activated

Counts = dict[str, int]

FILES_PER_BATCH = 20
"""Imports of the tenant wait while the bytes of so many are deleted."""
MEMBERS_PER_BATCH = 500
MIN_EVENTS, MAX_EVENTS = 100, 10_000
TARGET_SECONDS = {"sqlite": 0.04, "postgresql": 0.2}
"""Intended length of a transaction: other writers to an SQLite database wait that long."""
PAUSE_SECONDS = 0.025
"""A pause between transactions on SQLite, whose waiting writers try again after this time."""


def find_due_rooms(now: datetime) -> list[Room]:
    """Return deleted rooms whose grace period has ended and that no hold covers."""
    due = Room.all_objects.filter(deleted_at__isnull=False, purge_at__lte=now)
    rooms = due.select_related("tenant").order_by("purge_at", "pk")
    return [room for room in rooms if find_hold_on_room(room) is None]


def purge_due_rooms(operator: Operator, now: datetime) -> int:
    rooms = find_due_rooms(now)
    for room in rooms:
        purge_room(operator=operator, room=room, now=now)
    return len(rooms)


def purge_room(
    *,
    operator: Operator,
    room: Room,
    now: datetime,
    progress_factory: ProgressFactory = null_progress_factory,
) -> None:
    """Delete everything of a deleted room, and files that no other room has.

    Raises OnHold, and keeps the rest, if a hold is placed before its end; ServerRestored,
    MediaVersioned, and the errors of the media store and the search server.
    """
    operator.require(Permission.MANAGE_TENANTS)
    require_activated()
    cast(MediaStore, default_storage).require_erasable()
    before = _begin(room)
    # A backfill may be writing documents of the room; later ones leave the room out.
    documents.wait_for_writers()
    with open_index() as index, progress_factory("Deleting events") as progress:
        is_done = False
        while not is_done:
            _delete_events(index, room, before["events"], progress)
            while _delete_files(operator, room, now):
                delete_announced(room.tenant_id)
            delete_announced(room.tenant_id)  # the files of an interrupted purge
            while _delete_members(room):
                pass
            delete_served(room.pk)
            forget_deleted_words()
            is_done = _finish(operator, room, now, before)


def count_rows(room: Room) -> Counts:
    """Count the rows and files that a purge deletes. No other room has `files`."""
    own = Q(pk__in=RoomMedia.objects.filter(room=room).values("media")) | Q(
        pk__in=_list_removed(RemovedFile.objects.filter(room=room))
    )
    elsewhere = Q(pk__in=RoomMedia.objects.exclude(room=room).values("media"))
    files = Media.objects.filter(own, ~elsewhere).aggregate(count=Count("pk"), size=Sum("size"))
    return {
        "events": Event.objects.filter(room=room).count(),
        "search_documents": SearchDocument.objects.filter(event__room=room).count(),
        "members": RoomMember.objects.filter(room=room).count(),
        "attachments": RoomMedia.objects.filter(room=room).count(),
        "removed_files": RemovedFile.objects.filter(room=room).count(),
        "files": files["count"],
        "file_bytes": files["size"] or 0,
    }


def _list_removed(rows: QuerySet[RemovedFile]) -> QuerySet[Any, Any]:
    return rows.filter(media__isnull=False).values("media")


def _begin(room: Room) -> Counts:
    """Record that the purge has begun, and return the counts from before its first batch."""
    counts = count_rows(room)
    with transaction.atomic():
        require_not_held(room)
        locked = Room.all_objects.select_for_update().get(pk=room.pk)
        locked.deletion = {"counts": counts, **(locked.deletion or {})}
        locked.save(update_fields=["deletion"])
    return cast(Counts, locked.deletion["counts"])


def require_not_held(room: Room) -> None:
    """Raises `OnHold`. Until the transaction ends, no hold is placed."""
    block_new_holds()
    if hold := find_hold_on_room(room):
        raise build_hold_error(hold, f"delete what is left of room {room.pk}")


def _delete_events(index: SearchIndex, room: Room, total: int, progress: ProgressCallback) -> None:
    """Delete events from the oldest on, with their documents of the search index."""
    deleted, after, size = 0, 0, MIN_EVENTS
    table, room_id = Event._meta.db_table, uuid_param(room.pk)
    find_last = (
        f"SELECT max(stream_position) FROM (SELECT stream_position FROM {table} WHERE room_id = %s "
        "AND stream_position > %s ORDER BY stream_position LIMIT %s) batch"
    )
    while (last := fetch_one(find_last, [room_id, after, size])[0]) is not None:
        index.forget_events(room.tenant_id, room.pk, after, last)
        batch = Event.objects.filter(room=room, stream_position__gt=after)
        with transaction.atomic():
            started = time.monotonic()  # without the wait for other writers
            block_new_holds()
            if contains_held(batch.filter(stream_position__lte=last)):
                require_not_held(room)
            documents.delete_of_room(room.tenant_id, room.pk, after, last)
            deleted += execute(
                f"DELETE FROM {table} WHERE room_id = %s AND stream_position > %s "
                "AND stream_position <= %s",
                [room_id, after, last],
            )
            factor = TARGET_SECONDS[connection.vendor] / max(time.monotonic() - started, 0.001)
        progress(deleted, max(total, deleted))
        after, size = last, min(max(int(size * min(factor, 2)), MIN_EVENTS), MAX_EVENTS)
        if connection.vendor == "sqlite":
            time.sleep(PAUSE_SECONDS)


def _delete_files(operator: Operator, room: Room, now: datetime) -> bool:
    """Detach the next files from the room. Return whether there were any."""
    with transaction.atomic():
        require_not_held(room)
        keys, found = set[UUID](), 0
        for model in (RoomMedia, RemovedFile):
            rows = model._default_manager.filter(room=room).order_by("pk")
            batch = dict(rows.values_list("pk", "media")[:FILES_PER_BATCH])
            model._default_manager.filter(pk__in=batch).delete()
            keys |= set(filter(None, batch.values()))
            found += len(batch)
        release_files(keys, operator=operator, tenant_id=room.tenant_id, now=now)
    return found > 0


def _delete_members(room: Room) -> bool:
    with transaction.atomic():
        require_not_held(room)
        members = RoomMember.objects.filter(room=room).values_list("pk", flat=True)
        keys = list(members.order_by("pk")[:MEMBERS_PER_BATCH])
        RoomMember.objects.filter(pk__in=keys).delete()
    return bool(keys)


def _finish(operator: Operator, room: Room, now: datetime, before: Counts) -> bool:
    """Delete the room and what little is left; return False if something was added."""
    with transaction.atomic():
        require_not_held(room)
        locked = Room.all_objects.select_for_update().filter(pk=room.pk).first()
        if locked is None:  # Another process has finished.
            return True
        after = count_rows(room)
        if any(after.values()):
            return False
        record_audit(
            operator=operator,
            action="room purge",
            subject=locked,
            tenant=room.tenant,
            now=now,
            details={
                "reason": (locked.deletion or {}).get("reason", ""),
                "before": before,
                "after": after,
            },
        )
        locked.delete()
    return True
