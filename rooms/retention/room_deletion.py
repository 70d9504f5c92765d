"""What goes of one room: attachments, with their bytes if no other room has them, and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Exists, F, Max, OuterRef

from rooms.lifecycle.deletion import Deletion, RemovedFiles
from rooms.lifecycle.remove_media import REMOVED_KEY
from rooms.lookup.export_metadata import find_avatars, find_media_ids
from rooms.models import Event, RemovedFile, Room, RoomMedia
from rooms.retention.event_deletion import DeletedEvents, EventDeletion
from scaiwave.core.sql import batched
from scaiwave.storage.media import collect_refusals


@dataclass
class RoomDeletion:
    """What goes of a room: `events`, and the files that go with the events of `files`.

    A file that another event uses stays. One that no event uses goes if it was attached before
    `files_before`. Use it in `temporary_tables`.
    """

    room: Room
    events: EventDeletion | None
    files: EventDeletion | None
    files_before: datetime | None = None

    def count(self, names_left: dict[UUID, int]) -> Counter[str]:
        """Return what `run` would do now; the calls for all rooms share `names_left`."""
        counts = Counter(asdict(_count_files(self._find_files(), names_left)))
        if self.events:
            counts.update(asdict(self.events.count()))
        return counts

    def run(
        self, deletion: Deletion, record: Callable[[Room, dict[str, int]], None]
    ) -> Iterator[dict[str, int]]:
        """Do it in batches and yield the counts of each; `record` is called in its transaction.

        Raises `HoldsChanged`, the errors of the search server and the media store, and at the end
        `MediaVersioned` or another refusal to delete a file.
        """

        def record_part(part: DeletedEvents | RemovedFiles) -> None:
            record(self.room, {name: count for name, count in asdict(part).items() if count})

        events = Event.objects.filter(room=self.room)
        last = events.aggregate(last=Max("stream_position"))["last"] or 0
        with collect_refusals() as attempt:
            # The files go first: the events that go say which.
            if self.files and (keys := self._find_files()):
                with attempt():
                    for part in deletion.delete_files(
                        self.room,
                        RoomMedia,
                        keys,
                        self.files.guard.check,
                        record=record_part,
                        # A message that was sent since then may show a file again.
                        find_used=lambda: find_media_ids(events.filter(stream_position__gt=last)),
                    ):
                        yield asdict(part)
            if self.events:
                for part_of_events in self.events.run(deletion, record_part):
                    yield asdict(part_of_events)
            if self.files:
                self._forget_names(deletion, self.files.guard.check)

    def _forget_names(self, deletion: Deletion, check: Callable[[], None]) -> None:
        """Leave the hash alone of removed files whose bytes and messages are gone.

        By its hash an increment still does not bring a file back.
        """
        removed = RemovedFile.objects.filter(room=self.room)
        gone = removed.filter(media=None).exclude(name="")
        if self.files_before:
            gone = gone.filter(removed_at__lt=self.files_before)
        if not gone.exists():
            return
        messages = Event.objects.filter(room=self.room, content__has_key=REMOVED_KEY)
        names = set(messages.values_list(f"content__{REMOVED_KEY}__name", flat=True))
        with deletion.transaction():
            check()
            for file in gone.exclude(name__in=names):
                if removed.filter(sha256=file.sha256, name="").exists():
                    file.delete()
                else:
                    file.name = ""
                    file.save(update_fields=["name"])

    def _find_files(self) -> list[UUID]:
        """Return the names of files (keys of `RoomMedia`)."""
        links = RoomMedia.objects.filter(room=self.room)
        if self.files is None or not links.exists():
            return []
        events, before = Event.objects.filter(room=self.room), self.files_before
        others = events.exclude(self.files.going)
        kept = find_media_ids(others) | find_avatars(self.room, others)
        rows = links.order_by("pk").values_list("pk", "media_id", "created_at")
        candidates = [row for row in rows.iterator() if row[1] not in kept]
        old = {key for key, _, at in candidates if before is not None and at < before}
        going = events.filter(self.files.going)
        used = find_media_ids(going) if len(old) < len(candidates) else set()
        return [key for key, media_id, _ in candidates if key in old or media_id in used]


def _count_files(keys: Sequence[UUID], names_left: dict[UUID, int]) -> RemovedFiles:
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
