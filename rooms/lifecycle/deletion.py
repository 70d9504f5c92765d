"""Delete events, files and other rows in short transactions that no hold interrupts.

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
from django.db.models import QuerySet

from rooms.imports.intents import delete_announced, release_files
from rooms.models import Event, Media, RemovedFile, Room, RoomMedia
from rooms.search.backend import open_index
from rooms.search.database import SearchIndex
from rooms.search.schema import merge_words
from scaiwave.core.operators import Operator
from scaiwave.core.sql import batched, fetch_column
from scaiwave.storage.media import MediaStore, collect_refusals
from tenants.holds.queries import block_new_holds
from tenants.lookup.restoration import require_activated
from tenants.models import Participant

FIRST_ROWS, MIN_ROWS, MAX_ROWS = 500, 100, 20_000
MAX_GROWTH = 4
"""A transaction has at most so many times the rows of the one before."""
TARGET_SECONDS = {"sqlite": 0.07, "postgresql": 0.5}
"""Intended length of a transaction: other writers to an SQLite database wait that long."""
PAUSE_SECONDS = 0.03
"""A pause between transactions on SQLite. A writer that has waited for less than 0.13 seconds tries
again every 0.025 seconds (`sqliteDefaultBusyCallback`), and so finds one of the pauses."""
FILES_PER_BATCH = 20
"""Imports of the tenant wait while the bytes of so many are deleted."""
Positions = tuple[int, int]
"""A position in the stream, which is not part of the range, and the last one of the range."""


@dataclass(frozen=True)
class RemovedFiles:
    """`attachments` are names in a room; `files` are the files that no room has any longer."""

    attachments: int
    files: int
    file_bytes: int


class Deletion:
    """A deletion by an operator. Transactions have `rows` rows, so that they take the set time."""

    def __init__(self, operator: Operator, now: datetime, index: SearchIndex) -> None:
        self.operator, self.now, self.index = operator, now, index
        self.rows = FIRST_ROWS
        self._busy = 0.0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with transaction.atomic():
            started = time.monotonic()  # without the wait for other writers
            block_new_holds()
            yield
        seconds, target = time.monotonic() - started, TARGET_SECONDS[connection.vendor]
        growth = min(target / max(seconds, 0.001), MAX_GROWTH)
        self.rows = min(max(int(self.rows * growth), MIN_ROWS), MAX_ROWS)
        self._busy += seconds
        if connection.vendor == "sqlite" and self._busy > target / 2:
            time.sleep(PAUSE_SECONDS)
            self._busy = 0.0

    def iter_batches(self, events: QuerySet[Event]) -> Iterator[tuple[Positions, QuerySet[Event]]]:
        """Yield events of one room from the oldest on, in ranges of positions.

        The ends of ranges are found in one pass. With wrong statistics PostgreSQL would read and
        sort the rest of the room to find the next one. Events that come later are not among them.
        """
        sql, params = events.order_by().values("stream_position").query.sql_with_params()
        ends = fetch_column(
            "SELECT stream_position FROM (SELECT stream_position, row_number() OVER positions AS "
            f"number, lead(1) OVER positions AS next FROM ({sql}) events "
            "WINDOW positions AS (ORDER BY stream_position)) numbered "
            f"WHERE number %% {MIN_ROWS} = 0 OR next IS NULL ORDER BY stream_position",
            params,
        )
        done, after = 0, 0
        while done < len(ends):
            done = min(done + max(self.rows // MIN_ROWS, 1), len(ends))
            through = ends[done - 1]
            rest = events.filter(stream_position__gt=after).order_by()
            yield (after, through), rest.filter(stream_position__lte=through)
            after = through

    def delete_rows(
        self, tables: Iterable[QuerySet[Any]], check: Callable[[], object]
    ) -> Iterator[int]:
        """Delete all of these rows, and yield the number of each transaction.

        `check` is called in each, and raises if a hold covers the rows. A row goes before the rows
        that it refers to. All that refer to a person must be among them: SQLite does not check it,
        since it would look through all events of the server for each. No index has the sender.
        """
        left = deque(tables)
        with connection.constraint_checks_disabled():
            while left:
                with self.transaction():
                    check()
                    deleted, size = 0, self.rows
                    while left and deleted < size:
                        count = _delete_first(left[0], size - deleted)
                        deleted += count
                        if deleted < size:
                            left.popleft()
                yield deleted

    def delete_files(
        self,
        room: Room,
        model: type[RoomMedia | RemovedFile],
        keys: Collection[UUID],
        check: Callable[[], object],
        *,
        record: Callable[[RemovedFiles], object] = lambda part: None,
        find_used: Callable[[], Collection[UUID]] = tuple,
    ) -> Iterator[RemovedFiles]:
        """Delete these names of files from a room, and the files that no room has any longer.

        `check`, `record` and `find_used`, which returns IDs of files to keep, are called in each
        transaction. Raises what they raise, and the errors of the media store. `MediaVersioned` and
        other refusals to delete a file are raised once the other files are gone.
        """
        with collect_refusals() as attempt:
            for batch in batched(keys, FILES_PER_BATCH):
                with self.transaction():
                    check()
                    lock_room(room)  # before the names, as an import of an increment does
                    names = model._default_manager.filter(pk__in=batch)
                    names = names.exclude(media__in=find_used())
                    files = names.filter(media__isnull=False)
                    sizes = dict(files.values_list("media", "media__size"))
                    number = names.delete()[0]
                    release_files(
                        sizes.keys(), operator=self.operator, tenant_id=room.tenant_id, now=self.now
                    )
                    for key in Media.objects.filter(pk__in=sizes).values_list("pk", flat=True):
                        del sizes[key]
                    part = RemovedFiles(number, len(sizes), sum(sizes.values()))
                    if number:
                        record(part)
                with attempt():
                    delete_announced(room.tenant_id)
                yield part

    def forget_words(self) -> None:
        """Remove the words of deleted documents from the word index of SQLite."""
        is_first, is_done = True, False
        while not is_done:
            with self.transaction():
                is_done = not merge_words(is_first=is_first)
            is_first = False


@contextmanager
def open_deletion(operator: Operator, now: datetime) -> Iterator[Deletion]:
    """Begin a deletion on a server that may delete for good.

    Raises ServerRestored and MediaVersioned.
    """
    require_activated()
    cast(MediaStore, default_storage).require_erasable()
    with open_index() as index:
        yield Deletion(operator, now, index)


def lock_room(room: Room) -> None:
    """Lock the row of a room, if it is not gone, in a way that new events don't wait for."""
    list(Room.all_objects.select_for_update(no_key=True).filter(pk=room.pk).values_list("pk"))


def _delete_first(rows: QuerySet[Any], number: int) -> int:
    model = rows.model
    batch = model._base_manager.filter(pk__in=rows.order_by().values("pk")[:number])
    if model is Participant:
        return int(batch._raw_delete(batch.db))  # Django would look for their events too.
    return int(batch.delete()[1].get(model._meta.label, 0))
