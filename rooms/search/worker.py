"""Process a range of a backfill, in steps of about a second each.

A process holds a range by a lock that ends with the process, so a range of a killed worker is free
at once. Progress is in the database after every step. Should two processes ever work on the same
range, the second to record its progress stops.
"""

from __future__ import annotations

import time
from uuid import UUID

from django.db.models import F, Sum

from rooms.models import SearchBackfill, SearchRange
from rooms.search.base import EventRange, IndexingResult
from rooms.search.database import SearchIndex
from rooms.search.queries import scope_of_run
from rooms.search.scope import Scope
from scaiwave.console.progress import ProgressCallback
from scaiwave.core.locks import process_lock

INITIAL_BATCH_EVENTS = 2_000
MIN_BATCH_EVENTS, MAX_BATCH_EVENTS = 50, 200_000
TARGET_SECONDS = 1.0
"""Intended length of a step: other writers to an SQLite database wait that long."""


class BatchSizer:
    """Choose how many events the next step takes."""

    def __init__(self) -> None:
        self.events = INITIAL_BATCH_EVENTS

    def next_end(self, search_range: SearchRange, after: int) -> int:
        """Return the last position of the next step, assuming evenly distributed events."""
        width = search_range.last - search_range.first + 1
        positions = self.events * width // max(search_range.events, 1)
        return min(after + max(positions, 1), search_range.last)

    def record(self, events: int, seconds: float) -> None:
        """Adapt to the speed of a step, by a factor of four at most."""
        target = events * TARGET_SECONDS / max(seconds, 0.001)
        target = min(max(target, self.events / 4), self.events * 4)
        self.events = int(min(max(target, MIN_BATCH_EVENTS), MAX_BATCH_EVENTS))


def index_step(
    index: SearchIndex,
    scope: Scope,
    search_range: SearchRange,
    *,
    after: int,
    sizer: BatchSizer,
    rewrite: bool = False,
) -> tuple[int, IndexingResult]:
    """Index the events after a position; return the position reached, and the counts."""
    started = time.monotonic()
    through = sizer.next_end(search_range, after)
    result = index.index(EventRange(scope, search_range.tenant_id, after, through, rewrite))
    width = search_range.last - search_range.first + 1
    events = search_range.events * (through - after) // width
    sizer.record(max(events, 1), time.monotonic() - started)
    return through, result


class RangeWorker:
    """Process ranges of one run, each only if no other process holds it."""

    def __init__(self, index: SearchIndex, run: SearchBackfill, progress: ProgressCallback) -> None:
        self._index = index
        self._run = run
        self._scope = scope_of_run(run)
        self._progress = progress
        self._sizer = BatchSizer()
        self._total = run.ranges.aggregate(total=Sum("events"))["total"] or 0

    def process_range(self, range_id: UUID) -> bool:
        """Do the rest of this range; return whether it was free."""
        with process_lock(f"search-range-{range_id.hex}") as acquired:
            if acquired:
                ranges = self._run.ranges
                finished = ranges.filter(done_through__gte=F("last"))
                done_before = finished.aggregate(total=Sum("events"))["total"] or 0
                # The range is gone if another process restarted the run.
                pending = ranges.filter(pk=range_id, done_through__lt=F("last"))
                while (found := pending.first()) and self._step(found, done_before):
                    pass
        return acquired

    def _step(self, search_range: SearchRange, done_before: int) -> bool:
        """Do one step and record it; return whether to continue."""
        with self._index.open_step():
            through, result = index_step(
                self._index,
                self._scope,
                search_range,
                after=search_range.done_through,
                sizer=self._sizer,
                rewrite=self._run.rewrite,
            )
            recorded = self._run.ranges.filter(
                pk=search_range.pk, done_through=search_range.done_through
            ).update(
                done_through=through,
                written=F("written") + result.written,
                removed=F("removed") + result.removed,
            )
        share = (through - search_range.first + 1) / (search_range.last - search_range.first + 1)
        events_done = done_before + int(search_range.events * share)
        self._progress(min(events_done, self._total), self._total)
        return bool(recorded)
