"""Fills the search index with what was said, and makes it right again after changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rooms.errors import BackfillSuperseded, SearchIndexMismatch
from rooms.models import SearchBackfill
from rooms.search.backend import open_index
from rooms.search.base import SearchIndex
from rooms.services.search.completion import try_finish
from rooms.services.search.queue import enqueue, require_queue
from rooms.services.search.runs import BackfillOptions, get_or_create_run, pending_ranges
from rooms.services.search.worker import RangeWorker
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.progress import ProgressCallback, null_progress

_LOOK_AGAIN = 0.2
"""Seconds, while others are at all that is left."""


@dataclass(frozen=True)
class BackfillResult:
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
class EnqueueResult:
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
    wish: BackfillOptions,
    now: Callable[[], datetime],
    progress: ProgressCallback = null_progress,
) -> BackfillResult:
    """Do all of it here, from where it stopped the last time, and beside others who do the same.

    Raises `UsageError`, `TenantNotFound`, `RoomNotFound`, `AmbiguousName`, `BackfillSuperseded`,
    and where a search server is configured what calling it raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    began = now()
    run = get_or_create_run(operator, wish, began)
    with open_index() as index:
        index.begin()
        worker = RangeWorker(index, run, progress)
        while not _finished(index, run, now):
            taken = [worker.take(key) for key in pending_ranges(run).values_list("pk", flat=True)]
            if not any(taken):
                time.sleep(_LOOK_AGAIN)
    return BackfillResult(run.pk, run.started_at != began, (run.outcome or {})["tenants"])


def enqueue_backfill(*, operator: Operator, wish: BackfillOptions, now: datetime) -> EnqueueResult:
    """Have the workers do it. Raises `QueueUnavailable`, and what `backfill_search` does."""
    operator.require(Permission.MANAGE_PLATFORM)
    require_queue()
    run = get_or_create_run(operator, wish, now)
    ranges = pending_ranges(run).count()
    return EnqueueResult(run.pk, run.started_at != now, ranges, enqueue(run.pk, ranges))


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
    with open_index() as index:
        index.begin()
        worker = RangeWorker(index, run, null_progress)
        open_ = pending_ranges(run).values_list("pk", flat=True)
        mine = next((key for key in open_ if worker.take(key)), None)
        try:
            done = _finished(index, run, now)
        except BackfillSuperseded:
            done = True
    if mine is not None and not done and (left := pending_ranges(run).count()):
        enqueue(run.pk, left)
    return {"run_id": str(run_id), "range": mine and str(mine), "finished": done}


def _finished(index: SearchIndex, run: SearchBackfill, now: Callable[[], datetime]) -> bool:
    try:
        return try_finish(index, run, now())
    except SearchBackfill.DoesNotExist:
        raise BackfillSuperseded("Somebody has begun this backfill anew meanwhile.") from None
