"""Which workers and schedulers are running, as their heartbeats in Redis show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

SCHEDULERS_KEY = "scaiwave:schedulers"
ENQUEUED_KEY = "scaiwave:scheduler:enqueued:{}"
"""The last due time of the job of this name that a scheduler enqueued, in Unix time."""
STALE_AFTER = timedelta(seconds=30)
"""A scheduler without a heartbeat for so long is gone."""
_WORKER_FIELDS = ("hostname", "pid", "state", "last_heartbeat", "scaiwave", "death")


@dataclass(frozen=True)
class SchedulerBeat:
    """A scheduler that is running. `next_runs` are the next times of each job, by its name."""

    name: str
    host: str
    pid: int
    is_active: bool
    started_at: datetime
    seen_at: datetime
    next_runs: Mapping[str, datetime]

    def document(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "pid": self.pid,
            "is_active": self.is_active,
            "started_at": self.started_at,
            "seen_at": self.seen_at,
        }


@dataclass(frozen=True)
class WorkerBeat:
    """A worker that is running. `is_suite` is False for RQ's own, which runs any code."""

    name: str
    host: str
    pid: int
    state: str
    seen_at: datetime | None
    is_suite: bool


def get_redis_time(redis: Redis) -> datetime:
    """Return the time of Redis: the clocks of other hosts may differ."""
    seconds, microseconds = redis.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def list_schedulers(redis: Redis) -> list[SchedulerBeat]:
    """Return the schedulers with a recent heartbeat, the active one first."""
    beats = [beat for _, beat in _read_schedulers(redis) if beat is not None]
    return sorted(beats, key=lambda beat: (not beat.is_active, beat.name))


def delete_stale_schedulers(redis: Redis) -> None:
    if stale := [name for name, beat in _read_schedulers(redis) if beat is None]:
        redis.hdel(SCHEDULERS_KEY, *stale)


def _read_schedulers(redis: Redis) -> Iterator[tuple[bytes, SchedulerBeat | None]]:
    """Yield the names of the entries, and what each contains if that is readable and recent."""
    now = get_redis_time(redis)
    entries: Mapping[bytes, bytes] = redis.hgetall(SCHEDULERS_KEY)  # type: ignore[assignment]
    for name, entry in entries.items():
        beat = None
        with suppress(ValueError, TypeError, LookupError, AttributeError):
            beat = _parse_scheduler(name, entry)
        is_recent = beat is not None and abs(now - beat.seen_at) <= STALE_AFTER
        yield name, beat if is_recent else None


def _parse_scheduler(name: bytes, entry: bytes) -> SchedulerBeat:
    """Raises ValueError, TypeError, LookupError or AttributeError."""
    values = json.loads(entry)
    return SchedulerBeat(
        name=name.decode(),
        host=str(values["host"]),
        pid=int(values["pid"]),
        is_active=values["is_active"] is True,
        started_at=parse_time(values["started_at"]),
        seen_at=parse_time(values["seen_at"]),
        next_runs={name: parse_time(text) for name, text in values["next_runs"].items()},
    )


def parse_time(text: str) -> datetime:
    """Raises ValueError or TypeError."""
    return datetime.fromisoformat(text).astimezone(UTC)


def read_enqueued_at(redis: Redis, job: str) -> datetime | None:
    """Return when a scheduler last enqueued a job, also one that has ended since."""
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(int(redis.get(ENQUEUED_KEY.format(job)) or ""), UTC)
    return None


def list_workers(redis: Redis) -> list[WorkerBeat]:
    """Return the workers with a recent heartbeat; RQ lets their keys expire otherwise."""
    keys: list[bytes] = sorted(redis.smembers("rq:workers"))  # type: ignore[arg-type]
    with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, _WORKER_FIELDS)
        found = pipeline.execute()
    beats = []
    for key, values in zip(keys, found, strict=True):
        host, pid, state, seen, suite, death = (
            (value or b"").decode("utf-8", "replace") for value in values
        )
        if not seen or death:
            continue
        seen_at = None
        with suppress(ValueError):
            seen_at = parse_time(seen)
        name = key.decode("utf-8", "replace").removeprefix("rq:worker:")
        number = int(pid) if pid.isdigit() else 0
        beats.append(WorkerBeat(name, host, number, state, seen_at, bool(suite)))
    return beats
