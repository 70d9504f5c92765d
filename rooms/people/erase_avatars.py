"""Delete the pictures of people that were imported as attachments, for `purge-participant`."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from rooms.imports.intents import release_on_commit
from rooms.lifecycle.deletion import lock_room
from rooms.lookup.export_metadata import find_avatars, find_media_ids
from rooms.lookup.holds import imported_from_q
from rooms.models import Event, Room, RoomImport, RoomMedia
from scaiwave.core.operators import get_host_operator
from scaiwave.core.sql import batched
from scaiwave.extensions import PurgedPerson


def erase_avatars(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Detach the pictures from each room, unless events of others use them there too.

    The bytes are deleted after the caller's transaction, unless another room has them.
    """
    imported = RoomImport.objects.values("room")
    for fqids in batched([person.fqid for person in people]):
        own = imported_from_q(fqids)
        found = Event.objects.filter(own, room__in=imported).order_by().values("room")
        for room in Room.all_objects.filter(pk__in=found).order_by("pk"):
            events = Event.objects.filter(room=room)
            if keys := find_avatars(room, events.filter(own)):
                keys -= find_avatars(room, events.exclude(own)) | find_media_ids(events)
            lock_room(room)
            RoomMedia.objects.filter(room=room, media__in=keys).delete()
            release_on_commit(
                keys,
                operator=get_host_operator(),
                tenant_id=room.tenant_id,
                now=timezone.now(),
            )
