"""Works through a part of a backfill, in steps that each take about a second.

A range is held by a lock that is gone with its process, so that what a killed worker had begun is
free at once; how far it came is in the database after every step. Should two ever be at the same
range, the one that comes second to write that down stops.
"""

from __future__ import annotations

import time
from uuid import UUID

from django.db.models import F, Sum

from rooms.models import SearchBackfill, SearchRange
from rooms.search.base import EventRange, IndexingResult, SearchIndex
from rooms.search.scope import Scope
from rooms.services.search.runs import scope_of_run
from scaiwave.console.progress import ProgressCallback
from scaiwave.locks import process_lock

FIRST_STEP = 2_000
SMALLEST_STEP, LARGEST_STEP = 50, 200_000
STEP_SECONDS = 1.0
"""What a step should take: others who write to an SQLite database wait that long."""


class BatchSizer:
    """How many events to take in the next step."""

    def __init__(self) -> None:
        self.step = FIRST_STEP

    def through(self, part: SearchRange, after: int) -> int:
        """Where the next step ends, if events lie evenly in their range."""
        positions = self.step * (part.last - part.first + 1) // max(part.events, 1)
        return min(after + max(positions, 1), part.last)

    def took(self, events: int, seconds: float) -> None:
        """At most four times as many as before, and at least a quarter."""
        wanted = events * STEP_SECONDS / max(seconds, 0.001)
        wanted = min(max(wanted, self.step / 4), self.step * 4)
        self.step = int(min(max(wanted, SMALLEST_STEP), LARGEST_STEP))


def index_step(
    index: SearchIndex,
    scope: Scope,
    part: SearchRange,
    *,
    after: int,
    pace: BatchSizer,
    rewrite: bool = False,
) -> tuple[int, IndexingResult]:
    """Returns the position it ended with, and what it did."""
    began = time.monotonic()
    through = pace.through(part, after)
    done = index.index(EventRange(scope, part.tenant_id, after, through, rewrite))
    events = part.events * (through - after) // (part.last - part.first + 1)
    pace.took(max(events, 1), time.monotonic() - began)
    return through, done


class RangeWorker:
    """Does ranges of one run, each only if nobody else is at it."""

    def __init__(self, index: SearchIndex, run: SearchBackfill, progress: ProgressCallback) -> None:
        self._index = index
        self._run = run
        self._scope = scope_of_run(run)
        self._progress = progress
        self._pace = BatchSizer()
        self._total = run.ranges.aggregate(total=Sum("events"))["total"] or 0

    def take(self, range_id: UUID) -> bool:
        """Do what is left of this range; returns whether it was free."""
        with process_lock(f"search-range-{range_id.hex}") as free:
            if free:
                before = self._done_before()
                while (part := self._range(range_id)) and self._step(part, before):
                    pass
        return free

    def _range(self, range_id: UUID) -> SearchRange | None:
        """None when it is done, and when the run was given up."""
        part = self._run.ranges.filter(pk=range_id, done_through__lt=F("last"))
        return part.first()

    def _step(self, part: SearchRange, before: int) -> bool:
        """Returns whether to go on."""
        through, done = index_step(
            self._index,
            self._scope,
            part,
            after=part.done_through,
            pace=self._pace,
            rewrite=self._run.rewrite,
        )
        moved = self._run.ranges.filter(pk=part.pk, done_through=part.done_through).update(
            done_through=through,
            written=F("written") + done.written,
            removed=F("removed") + done.removed,
        )
        share = (through - part.first + 1) / (part.last - part.first + 1)
        self._progress(min(before + int(part.events * share), self._total), self._total)
        return bool(moved)

    def _done_before(self) -> int:
        done = self._run.ranges.filter(done_through__gte=F("last"))
        return done.aggregate(total=Sum("events"))["total"] or 0
