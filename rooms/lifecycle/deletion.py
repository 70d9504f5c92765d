"""Delete events, files and other rows in short transactions, in which no hold may be placed.

Purges of rooms, retention, and the erasure of people and tenants all delete this way. Nothing but
the rows themselves records the progress, so a deletion that ends in any way is continued by the
next one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import Max, QuerySet

from rooms.imports.intents import delete_announced, release_files
from rooms.models import Event, Media, RemovedFile, Room, RoomMedia
from rooms.search.backend import open_index
from rooms.search.base import EventRange, SearchIndex
from rooms.search.scope import Scope
from scaiwave.core.operators import Operator
from scaiwave.core.sql import batched
from scaiwave.storage.media import MediaStore
from tenants.holds.queries import block_new_holds
from tenants.lookup.restoration import require_activated
from tenants.models import Participant

FIRST_ROWS, MIN_ROWS, MAX_ROWS = 500, 100, 10_000
MAX_GROWTH = 4
TARGET_SECONDS = {"sqlite": 0.06, "postgresql": 0.2}
"""Intended length of a transaction: other writers to an SQLite database wait that long."""
PAUSE_SECONDS = 0.03
"""A pause after each transaction on SQLite. Writers that have waited for less than 0.13 seconds try
again every 0.025 seconds, and so find one of the pauses."""
FILES_PER_BATCH = 20
"""Imports of the tenant wait while the bytes of so many are deleted."""


@dataclass(frozen=True)
class RemovedFiles:
    """`attachments` are names in a room; `files` are the files that no room has any longer."""

    attachments: int
    files: int
    file_bytes: int


@contextmanager
def open_deletion() -> Iterator[SearchIndex]:
    """Yield the search index of a server that may delete for good.

    Raises ServerRestored and MediaVersioned.
    """
    require_activated()
    cast(MediaStore, default_storage).require_erasable()
    with open_index() as index:
        yield index


class Pace:
    """How many rows a transaction deletes, so that it takes the time that is intended."""

    def __init__(self) -> None:
        self.rows = FIRST_ROWS

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with transaction.atomic():
            started = time.monotonic()  # without the wait for other writers
            block_new_holds()
            yield
        factor = TARGET_SECONDS[connection.vendor] / max(time.monotonic() - started, 0.001)
        self.rows = min(max(int(self.rows * min(factor, MAX_GROWTH)), MIN_ROWS), MAX_ROWS)
        if connection.vendor == "sqlite":
            time.sleep(PAUSE_SECONDS)


def iter_batches(
    room: Room, events: QuerySet[Event], pace: Pace
) -> Iterator[tuple[EventRange, QuerySet[Event]]]:
    """Yield these events of a room from the oldest on, in ranges of positions."""
    scope, after = Scope(room.tenant_id, room.pk), 0
    while True:
        rest = events.filter(stream_position__gt=after).order_by("stream_position")
        first = rest.values("stream_position")[: pace.rows]
        through = first.aggregate(last=Max("stream_position"))["last"]
        if through is None:
            return
        batch = events.filter(stream_position__gt=after, stream_position__lte=through)
        yield EventRange(scope, room.tenant_id, after, through), batch.order_by()
        after = through


def delete_rows(tables: Iterable[QuerySet[Any]], check: Callable[[], object]) -> Iterator[int]:
    """Delete all of these rows; yield the number of each transaction.

    `check` raises in a transaction if a hold covers them.
    """
    pace, left = Pace(), deque(tables)
    while left:
        with pace.transaction():
            check()
            deleted = 0
            while left and deleted < pace.rows:
                wanted = pace.rows - deleted
                count = _delete_first(left[0], wanted)
                deleted += count
                if count < wanted:
                    left.popleft()
        yield deleted


def _delete_first(rows: QuerySet[Any], number: int) -> int:
    model = rows.model
    batch = model._base_manager.filter(pk__in=rows.order_by().values("pk")[:number])
    if model is Participant:
        return int(batch._raw_delete(batch.db))  # Django would look for their events too.
    return int(batch.delete()[1].get(model._meta.label, 0))


def delete_files(
    room: Room,
    model: type[RoomMedia | RemovedFile],
    keys: Collection[UUID],
    *,
    check: Callable[[], object],
    operator: Operator,
    now: datetime,
    record: Callable[[RemovedFiles], object] = lambda part: None,
) -> Iterator[RemovedFiles]:
    """Delete these names of files from a room, and the files that no room has any longer.

    `check` and `record` are called in each transaction. Raises what they raise, `MediaVersioned`,
    and the errors of the media store.
    """
    pace = Pace()
    for batch in batched(keys, FILES_PER_BATCH):
        with pace.transaction():
            check()
            names = model._default_manager.filter(pk__in=batch)
            sizes = dict(names.filter(media__isnull=False).values_list("media", "media__size"))
            number = names.delete()[0]
            release_files(sizes.keys(), operator=operator, tenant_id=room.tenant_id, now=now)
            for key in Media.objects.filter(pk__in=sizes).values_list("pk", flat=True):
                del sizes[key]
            part = RemovedFiles(number, len(sizes), sum(sizes.values()))
            if number:
                record(part)
        delete_announced(room.tenant_id)
        yield part
