"""Fills the search index with what was said, and makes it right again after changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rooms.errors import BackfillGivenUp, SearchIndexMismatch
from rooms.models import SearchBackfill
from rooms.search.backend import configured_index
from rooms.search.base import Index
from rooms.services.search.completion import finished
from rooms.services.search.queue import enqueue, require_queue
from rooms.services.search.runs import Wish, begun_run, open_ranges
from rooms.services.search.worker import RangeWorker
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.progress import Progress, no_progress

_LOOK_AGAIN = 0.2
"""Seconds, while others are at all that is left."""


@dataclass(frozen=True)
class Backfilled:
    run_id: UUID
    resumed: bool
    tenants: list[dict[str, Any]]

    @property
    def wrong(self) -> list[str]:
        return [row["tenant"] for row in self.tenants if row["missing"] or row["stale"]]

    def document(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "resumed": self.resumed, "tenants": self.tenants}

    def require_right(self) -> None:
        """Raises `SearchIndexMismatch`."""
        if self.wrong:
            raise SearchIndexMismatch(
                f"The index is not what the events are in: {', '.join(self.wrong)}."
            )


@dataclass(frozen=True)
class Enqueued:
    run_id: UUID
    resumed: bool
    ranges: int
    jobs: int

    def document(self) -> dict[str, Any]:
        told = {"run_id": self.run_id, "resumed": self.resumed}
        return {**told, "ranges": self.ranges, "jobs": self.jobs}


def backfill_search(
    *,
    operator: Operator,
    wish: Wish,
    now: Callable[[], datetime],
    progress: Progress = no_progress,
) -> Backfilled:
    """Do all of it here, from where it stopped the last time, and beside others who do the same.

    Raises `UsageError`, `TenantNotFound`, `RoomNotFound`, `AmbiguousName`, `BackfillGivenUp`, and
    where a search server is configured what calling it raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    began = now()
    run = begun_run(operator, wish, began)
    with configured_index() as index:
        index.begin()
        worker = RangeWorker(index, run, progress)
        while not _finished(index, run, now):
            taken = [worker.take(key) for key in open_ranges(run).values_list("pk", flat=True)]
            if not any(taken):
                time.sleep(_LOOK_AGAIN)
    return Backfilled(run.pk, run.started_at != began, (run.outcome or {})["tenants"])


def enqueue_backfill(*, operator: Operator, wish: Wish, now: datetime) -> Enqueued:
    """Have the workers do it. Raises `QueueUnavailable`, and what `backfill_search` does."""
    operator.require(Permission.MANAGE_PLATFORM)
    require_queue()
    run = begun_run(operator, wish, now)
    ranges = open_ranges(run).count()
    return Enqueued(run.pk, run.started_at != now, ranges, enqueue(run.pk, ranges))


def backfill_one_range(
    *, operator: Operator, run_id: UUID, now: Callable[[], datetime]
) -> dict[str, Any]:
    """Do a range that nobody is at, have its successor enqueued, and finish after the last.

    A run that was finished or given up meanwhile is no error: its jobs are simply too late.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    run = SearchBackfill.objects.filter(pk=run_id, finished_at=None).first()
    if run is None:
        return {"run_id": str(run_id), "range": None, "finished": True}
    with configured_index() as index:
        index.begin()
        worker = RangeWorker(index, run, no_progress)
        open_ = open_ranges(run).values_list("pk", flat=True)
        mine = next((key for key in open_ if worker.take(key)), None)
        try:
            done = _finished(index, run, now)
        except BackfillGivenUp:
            done = True
    if mine is not None and not done and (left := open_ranges(run).count()):
        enqueue(run.pk, left)
    return {"run_id": str(run_id), "range": mine and str(mine), "finished": done}


def _finished(index: Index, run: SearchBackfill, now: Callable[[], datetime]) -> bool:
    try:
        return finished(index, run, now())
    except SearchBackfill.DoesNotExist:
        raise BackfillGivenUp("Somebody has begun this backfill anew meanwhile.") from None
