"""The jobs in the queues, in pages: each takes as many requests however long the queues are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rq.exceptions import NoSuchJobError

from scaiwave.operations.jobs.queue_state import JobState, QueuedJob
from scaiwave.queue.bounded_values import OversizedValue, delete_oversized
from scaiwave.queue.keys import find_large_keys
from scaiwave.queue.raw_values import expect, expect_values, is_wrong_type, read_list
from scaiwave.queue.records import JobRecord, UnsafeJob, read_records
from scaiwave.queue.rq_queue import SuiteQueue, open_queues

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

PIECE = 100
WRONG_TYPE = "this key of Redis is of another type, so that it contains no jobs"
_ORDER = (JobState.RUNNING, JobState.FAILED, JobState.WAITING)
_GONE = {
    JobState.RUNNING: "it has ended",
    JobState.FAILED: "it has expired",
    JobState.WAITING: "it has expired: the next worker drops it",
}


@dataclass(frozen=True)
class JobPage:
    """Some of the jobs. `counts` include waiting jobs that have expired, which workers drop."""

    jobs: Sequence[QueuedJob]
    counts: Mapping[JobState, int]
    number: int
    pages: int


@dataclass(frozen=True)
class _Part:
    """The jobs of a queue in one state, the newest first, or the waiting ones in their order."""

    queue: SuiteQueue
    state: JobState
    now: float
    is_in_order: bool = False

    @property
    def key(self) -> str:
        if self.state is JobState.WAITING:
            return str(self.queue.key)
        is_failed = self.state is JobState.FAILED
        queue = self.queue
        return str((queue.failed_job_registry if is_failed else queue.started_job_registry).key)

    def request_count(self, pipeline: Pipeline) -> None:
        if self.state is JobState.WAITING:
            pipeline.llen(self.key)
        else:
            pipeline.zcount(self.key, self.now, "+inf")

    def request_ids(self, pipeline: Pipeline, start: int, end: int) -> None:
        if self.state is JobState.WAITING and self.is_in_order:
            pipeline.lrange(self.key, start, end - 1)
        elif self.state is JobState.WAITING:  # The newest is the last.
            pipeline.lrange(self.key, -end, -start - 1)
        else:
            pipeline.zrevrangebyscore(self.key, "+inf", self.now, start=start, num=end - start)

    def parse_ids(self, response: object) -> list[bytes]:
        if is_wrong_type(response):
            return [self.key.encode()]  # `_build_job` names it.
        values = expect_values(response)
        match self.state:
            case JobState.RUNNING:
                return [value.partition(b":")[0] for value in values]
            case JobState.FAILED:
                return values
            case JobState.WAITING:
                return values if self.is_in_order else values[::-1]


def read_job_page(redis: Redis, state: JobState | None, *, number: int, size: int) -> JobPage:
    """Return a page of the running, then the failed, then the waiting jobs, the newest first.

    A page beyond the last is the last one.
    """
    now = time.time()
    parts = [_Part(queue, kind, now) for kind in _ORDER for queue in open_queues(redis)]
    sizes = _count(redis, parts)
    counts = dict.fromkeys(_ORDER, 0)
    for part, count in zip(parts, sizes, strict=True):
        counts[part.state] += count
    chosen = [
        (part, count)
        for part, count in zip(parts, sizes, strict=True)
        if state in (None, part.state)
    ]
    pages = max(1, -(-sum(count for _, count in chosen) // size))
    number = min(max(number, 1), pages)
    jobs = _read_jobs(redis, chosen, start=(number - 1) * size, end=number * size)
    return JobPage(jobs, counts, number, pages)


def count_jobs(redis: Redis, state: JobState) -> dict[str, int]:
    """Return how many jobs each queue has in this state.

    An expired job remains in its queue until a worker looks at it. Those are left out of the first
    entries of a queue; the others, possibly very many, are counted without a look.
    """
    parts = [_Part(queue, state, time.time()) for queue in open_queues(redis)]
    counts = dict(zip(parts, _count(redis, parts, wrong_type=0), strict=True))
    large = find_large_keys(redis) if state is JobState.WAITING and any(counts.values()) else None
    for part in parts:
        if large is not None and counts[part] and part.key not in large:
            first = read_list(redis, part.key)
            existing = redis.exists(*(b"rq:job:" + raw_id for raw_id in first)) if first else 0
            counts[part] = max(counts[part] - len(first), 0) + expect(existing, int)
    return {part.queue.name: count for part, count in counts.items()}


def iterate_jobs(redis: Redis, state: JobState | None = None) -> Iterator[QueuedJob]:
    """Yield running, waiting and failed jobs; the waiting in their order, the failed newest first.

    They are read in pieces: jobs that change their state in the meantime may be missed or repeated.
    """
    now = time.time()
    for queue in open_queues(redis):
        for kind in JobState:
            part = _Part(queue, kind, now, is_in_order=True)
            (size,) = _count(redis, [part]) if state in (None, kind) else (0,)
            for start in range(0, size, PIECE):
                yield from _read_jobs(redis, [(part, size)], start=start, end=start + PIECE)


def delete_jobs(redis: Redis, state: JobState) -> None:
    """Delete the failed or the waiting jobs that there are now, the oldest first."""
    is_list = state is JobState.WAITING
    for queue in open_queues(redis):
        part = _Part(queue, state, time.time())
        (left,) = _count(redis, [part])
        while left > 0:
            raw_ids = (
                read_list(redis, part.key, limit=PIECE)
                if is_list
                else expect_values(redis.zrangebyscore(part.key, part.now, "+inf", 0, PIECE))
            )
            left -= len(raw_ids) or left
            with redis.pipeline() as pipeline:
                for raw_id in raw_ids:
                    if is_list:
                        pipeline.lrem(part.key, 1, raw_id)  # type: ignore[arg-type]
                    else:
                        pipeline.zrem(part.key, raw_id)
                    pipeline.delete(b"rq:job:" + raw_id)
                pipeline.execute()
            if any(isinstance(raw_id, OversizedValue) for raw_id in raw_ids):
                delete_oversized(redis, part.key, is_list=is_list)


def _count(redis: Redis, parts: Sequence[_Part], *, wrong_type: int = 1) -> list[int]:
    """A key of another type counts as one entry, which `_build_job` names."""
    with redis.pipeline(transaction=False) as pipeline:
        for part in parts:
            part.request_count(pipeline)
        responses = pipeline.execute(raise_on_error=False)
    return [wrong_type if is_wrong_type(each) else expect(each, int) for each in responses]


def _read_jobs(
    redis: Redis, parts: Sequence[tuple[_Part, int]], *, start: int, end: int
) -> list[QueuedJob]:
    """Return the jobs between two positions in the parts, which follow each other."""
    wanted = []
    with redis.pipeline(transaction=False) as pipeline:
        for part, count in parts:
            if start < min(end, count):
                wanted.append(part)
                part.request_ids(pipeline, start, min(end, count))
            start, end = max(start - count, 0), max(end - count, 0)
        responses = pipeline.execute(raise_on_error=False)
    entries = [
        (part, raw_id)
        for part, response in zip(wanted, responses, strict=True)
        for raw_id in part.parse_ids(response)
    ]
    records = read_records(redis, [raw_id for _, raw_id in entries])
    return [
        _build_job(part, raw_id, record)
        for (part, raw_id), record in zip(entries, records, strict=True)
    ]


def _build_job(part: _Part, raw_id: bytes, record: JobRecord | NoSuchJobError) -> QueuedJob:
    if isinstance(record, JobRecord):
        return QueuedJob(raw_id, part.queue.name, part.state, record)
    if raw_id == part.key.encode():
        return QueuedJob(raw_id, part.queue.name, part.state, None, WRONG_TYPE)
    problem = record.message if isinstance(record, UnsafeJob) else _GONE[part.state]
    return QueuedJob(raw_id, part.queue.name, part.state, None, problem)
