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
    seen_at: datetime
    is_suite: bool


def get_redis_time(redis: Redis) -> datetime:
    """Return the time of Redis: the clocks of other hosts may differ."""
    seconds, microseconds = redis.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def list_schedulers(redis: Redis) -> list[SchedulerBeat]:
    """Return the schedulers with a recent heartbeat, the active one first."""
    now = get_redis_time(redis)
    beats = [beat for beat in _read_schedulers(redis) if abs(now - beat.seen_at) <= STALE_AFTER]
    return sorted(beats, key=lambda beat: (not beat.is_active, beat.name))


def delete_stale_schedulers(redis: Redis) -> None:
    recent = {beat.name for beat in list_schedulers(redis)}
    for beat in _read_schedulers(redis):
        if beat.name not in recent:
            redis.hdel(SCHEDULERS_KEY, beat.name)


def _read_schedulers(redis: Redis) -> Iterator[SchedulerBeat]:
    entries: Mapping[bytes, bytes] = redis.hgetall(SCHEDULERS_KEY)  # type: ignore[assignment]
    for name, entry in entries.items():
        values = json.loads(entry)
        yield SchedulerBeat(
            name=name.decode(),
            host=values["host"],
            pid=values["pid"],
            is_active=values["is_active"],
            started_at=parse_time(values["started_at"]),
            seen_at=parse_time(values["seen_at"]),
            next_runs={job: parse_time(text) for job, text in values["next_runs"].items()},
        )


def parse_time(text: str) -> datetime:
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
        host, pid, state, seen, suite, death = ((value or b"").decode() for value in values)
        if not seen or death:
            continue
        name = key.decode().removeprefix("rq:worker:")
        beats.append(WorkerBeat(name, host, int(pid or 0), state, parse_time(seen), bool(suite)))
    return beats
