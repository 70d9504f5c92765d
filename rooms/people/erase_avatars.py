"""Delete the pictures of people that were imported as attachments, for `purge-participant`."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from rooms.imports.intents import release_on_commit
from rooms.lifecycle.deletion import lock_room
from rooms.lookup.authors import imported_from_q, list_fqids
from rooms.lookup.export_metadata import find_avatars, find_media_ids
from rooms.models import Event, Room, RoomImport, RoomMedia
from scaiwave.core.operators import get_host_operator
from scaiwave.extensions import PurgedPerson


def erase_avatars(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Detach the pictures from each room, unless events of others use them there too.

    The bytes are deleted after the caller's transaction, unless another room has them.
    """
    own = imported_from_q(list_fqids(person.participant_id for person in people))
    imported = Event.objects.filter(own, room__in=RoomImport.objects.values("room")).order_by()
    for room in Room.all_objects.filter(pk__in=imported.values("room")).order_by("pk"):
        events = Event.objects.filter(room=room)
        if keys := find_avatars(room, events.filter(own)):
            keys -= find_avatars(room, events.exclude(own)) | find_media_ids(events)
        lock_room(room)
        RoomMedia.objects.filter(room=room, media__in=keys).delete()
        release_on_commit(
            keys, operator=get_host_operator(), tenant_id=room.tenant_id, now=timezone.now()
        )
