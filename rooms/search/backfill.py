"""Fill the search index, and correct it after messages changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from rooms.errors import BackfillSuperseded, SearchIndexMismatch
from rooms.models import SearchBackfill
from rooms.search.backend import open_index
from rooms.search.completion import try_finish
from rooms.search.database import SearchIndex
from rooms.search.queries import BackfillOptions, pending_ranges
from rooms.search.queue import enqueue_jobs, require_queue
from rooms.search.runs import get_or_create_run
from rooms.search.worker import RangeWorker
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report

_POLL_SECONDS = 0.2
"""Pause while other processes work on all ranges that are left."""


def backfill_search(
    *,
    operator: Operator,
    options: BackfillOptions,
    clock: Callable[[], datetime],
    progress: ProgressCallback = null_progress,
) -> Report:
    """Do the whole backfill in this process, resuming an unfinished run of the same scope.

    Other processes may work on the same run at the same time.

    The report has a row for each tenant, and whether an earlier process had started the run; its
    error is `SearchIndexMismatch`. Raises `UsageError`, `TenantNotFound`, `RoomNotFound`,
    `AmbiguousName`, `BackfillSuperseded`, and what calling the search server raises if one is
    configured.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    started_at = clock()
    run = get_or_create_run(operator, options, started_at)
    with open_index() as index:
        index.begin_backfill()
        worker = RangeWorker(index, run, progress)
        while not _try_finish(index, run, clock):
            range_ids = pending_ranges(run).values_list("pk", flat=True)
            processed = [worker.process_range(range_id) for range_id in range_ids]
            if not any(processed):
                time.sleep(_POLL_SECONDS)
    tenants, resumed = (run.outcome or {})["tenants"], run.started_at != started_at
    differing = [row["tenant"] for row in tenants if row["missing"] or row["stale"]]
    error = SearchIndexMismatch(
        f"The search index does not match the stored events of: {', '.join(differing)}."
    )
    return Report(
        {"run_id": run.pk, "resumed": resumed, "tenants": tenants},
        error=error if differing else None,
    )


def enqueue_backfill(*, operator: Operator, options: BackfillOptions, now: datetime) -> Report:
    """Have the queue's workers do the backfill.

    Raises `QueueUnavailable`, and what `backfill_search` raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    require_queue()
    run = get_or_create_run(operator, options, now)
    ranges = pending_ranges(run).count()
    jobs, resumed = enqueue_jobs(run.pk, ranges), run.started_at != now
    return Report(
        {"run_id": run.pk, "resumed": resumed, "ranges": ranges, "jobs": jobs},
        f"{pluralize(ranges, 'range')} to process; {pluralize(jobs, 'job')} in the queue.",
    )


def backfill_one_range(
    *, operator: Operator, run_id: UUID, clock: Callable[[], datetime]
) -> dict[str, Any]:
    """Process one free range, enqueue a job for the next, and finish the run after the last.

    A run that was finished or restarted since the job was enqueued isn't an error: the job is late.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    run = SearchBackfill.objects.filter(pk=run_id, finished_at=None).first()
    if run is None:
        return {"run_id": str(run_id), "range": None, "finished": True}
    with open_index() as index:
        index.begin_backfill()
        worker = RangeWorker(index, run, null_progress)
        range_ids = pending_ranges(run).values_list("pk", flat=True)
        processed = next((key for key in range_ids if worker.process_range(key)), None)
        try:
            finished = _try_finish(index, run, clock)
        except BackfillSuperseded:
            finished = True
    if processed is not None and not finished and (ranges := pending_ranges(run).count()):
        enqueue_jobs(run.pk, ranges)
    return {
        "run_id": str(run_id),
        "range": processed and str(processed),
        "finished": finished,
    }


def _try_finish(index: SearchIndex, run: SearchBackfill, clock: Callable[[], datetime]) -> bool:
    """Raises `BackfillSuperseded` if the run was deleted, which a restart does."""
    try:
        return try_finish(index, run, clock())
    except SearchBackfill.DoesNotExist:
        raise BackfillSuperseded("This backfill was restarted by another process.") from None
