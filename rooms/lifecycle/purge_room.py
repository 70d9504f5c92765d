"""Delete the rows and files of a deleted room for good, in batches.

The row of the room goes last, with the audit entry.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import cast

from django.db import transaction
from django.db.models import Count, Q, Sum

from rooms.exports.chain_cache import delete_served
from rooms.imports.intents import delete_announced
from rooms.lifecycle.deletion import Deletion, lock_room, open_deletion
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
from scaiwave.console.progress import ProgressCallback, ProgressFactory, null_progress_factory
from scaiwave.core.operators import Operator, Permission
from scaiwave.storage.media import collect_refusals
from tenants.audit.record import record_audit
from tenants.errors import OnHold
from tenants.holds.queries import block_new_holds, build_hold_error

Counts = dict[str, int]

NAMES_PER_QUERY = 1000


def find_due_rooms(now: datetime) -> list[Room]:
    """Return deleted rooms whose grace period has ended and that no hold covers."""
    due = Room.all_objects.filter(deleted_at__isnull=False, purge_at__lte=now)
    rooms = due.select_related("tenant").order_by("purge_at", "pk")
    return [room for room in rooms if find_hold_on_room(room) is None]


def purge_due_rooms(operator: Operator, now: datetime) -> int:
    """Purge them, and return how many are gone.

    A hold that is placed now keeps only its room.
    """
    rooms, purged, is_gone = find_due_rooms(now), 0, True
    with open_deletion(operator, now) as deletion, collect_refusals() as attempt:
        for number, room in enumerate(rooms, 1):
            is_gone = False
            with attempt(), suppress(OnHold):
                is_gone = purge_room(
                    operator=operator,
                    room=room,
                    now=now,
                    deletion=deletion,
                    is_last=number == len(rooms),
                )
            purged += is_gone
        if not is_gone:  # The last one has not come to that.
            deletion.forget_words()
        for tenant_id in {room.tenant_id for room in rooms}:
            deletion.index.finish_deletion(tenant_id)
    return purged


def purge_room(
    *,
    operator: Operator,
    room: Room,
    now: datetime,
    progress_factory: ProgressFactory = null_progress_factory,
    deletion: Deletion | None = None,
    is_last: bool = True,
) -> bool:
    """Delete everything of a deleted room, and files that no other room has.

    Return False if it was brought back, or another process has deleted it. The last room of a
    deletion of many forgets the words of all, unless the caller does. Raises OnHold, and keeps the
    rest, if a hold is placed before its end; ServerRestored, MediaVersioned, and the errors of the
    media store and the search server. If a file can't be deleted, everything else goes first.
    """
    operator.require(Permission.MANAGE_TENANTS)
    check = partial(_require_not_held, room)
    with (
        nullcontext(deletion) if deletion else open_deletion(operator, now) as opened,
        progress_factory("Deleting events") as progress,
        collect_refusals() as attempt,
    ):
        if (before := _begin(room, now)) is None:
            return False
        # A backfill may be writing documents of the room; later ones leave the room out.
        documents.wait_for_writers()
        is_done = False
        while not is_done:
            _delete_events(opened, room, before, progress)
            for model in (RoomMedia, RemovedFile):
                names = model._default_manager.filter(room=room).values_list("pk", flat=True)
                while keys := list(names[:NAMES_PER_QUERY]):
                    with attempt():
                        list(opened.delete_files(room, model, keys, check))
            with attempt():
                delete_announced(room.tenant_id)  # the files of an interrupted purge
            sum(opened.delete_rows([RoomMember.objects.filter(room=room)], check))
            delete_served(room.pk)
            if is_last:
                opened.index.finish_deletion(room.tenant_id)
                opened.forget_words()
            is_done = _finish(operator, room, now, before)
    return True


def count_rows(room: Room) -> Counts:
    """Count rows and files that a purge deletes. No other room has `files`."""
    removed = RemovedFile.objects.filter(room=room, media__isnull=False)
    own = Q(pk__in=RoomMedia.objects.filter(room=room).values("media"))
    own |= Q(pk__in=removed.values("media"))
    elsewhere = Q(pk__in=RoomMedia.objects.exclude(room=room).values("media"))
    files = Media.objects.filter(own, ~elsewhere).aggregate(count=Count("pk"), size=Sum("size"))
    return {
        "events": Event.objects.filter(room=room).count(),
        "members": RoomMember.objects.filter(room=room).count(),
        "attachments": RoomMedia.objects.filter(room=room).count(),
        "removed_files": RemovedFile.objects.filter(room=room).count(),
        "files": files["count"],
        "file_bytes": files["size"] or 0,
    }


def count_at_first(room: Room) -> Counts:
    """Search documents are counted as they are deleted, since that takes a long join."""
    return {**count_rows(room), "search_documents": 0}


def _begin(room: Room, now: datetime) -> Counts | None:
    """Record that the purge has begun, and return the counts from before its first batch.

    Return None if the room is not due any longer. Rooms of a tenant that is erased never were.
    """
    counts = count_at_first(room)
    with transaction.atomic():
        block_new_holds()
        _require_not_held(room)
        due = Q(pk=room.pk)
        if room.deleted_at:
            due &= Q(deleted_at__isnull=False, purge_at__lte=now)
        locked = Room.all_objects.select_for_update().filter(due).first()
        if locked is None:
            return None
        locked.deletion = {"counts": counts, **(locked.deletion or {})}
        locked.save(update_fields=["deletion"])
    room.deletion = locked.deletion
    return cast(Counts, locked.deletion["counts"])


def _require_not_held(room: Room) -> None:
    """Raises `OnHold`."""
    if hold := find_hold_on_room(room):
        raise build_hold_error(hold, f"delete the rest of room {room.pk}")


def _delete_events(
    deletion: Deletion, room: Room, before: Counts, progress: ProgressCallback
) -> None:
    deleted = 0
    for _, events in deletion.iter_batches(Event.objects.filter(room=room)):
        with deletion.transaction():
            lock_room(room)  # as others do who change events, so that no one waits in a circle
            if contains_held(events):
                _require_not_held(room)
            number, finish = deletion.index.remove_documents(room.tenant_id, events)
            if number:
                before["search_documents"] += number
                Room.all_objects.filter(pk=room.pk).update(deletion=room.deletion)
            deleted += events.delete()[0]
        finish()
        progress(deleted, max(before["events"], deleted))


def _finish(operator: Operator, room: Room, now: datetime, before: Counts) -> bool:
    """Delete the room and what little is left; return False if something was added."""
    with transaction.atomic():
        block_new_holds()
        _require_not_held(room)
        locked = Room.all_objects.select_for_update().filter(pk=room.pk).first()
        if locked is None:  # Another process has finished.
            return True
        documents_left = SearchDocument.objects.filter(event__room=room).count()
        after = {**count_rows(room), "search_documents": documents_left}
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
