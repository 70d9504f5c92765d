"""Which workers and schedulers are running, as their heartbeats in Redis show."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from scaiwave.core.msgspec_decoders import get_decoder

if TYPE_CHECKING:
    from redis import Redis

SCHEDULERS_KEY = "scaiwave:schedulers"
ENQUEUED_KEY = "scaiwave:scheduler:enqueued:{}"
"""The last due time of the job of this name that a scheduler enqueued, in Unix time."""
STALE_AFTER = timedelta(seconds=30)
"""A scheduler without a heartbeat for so long is gone."""
_WORKER_FIELDS = ("hostname", "pid", "state", "last_heartbeat", "scaiwave", "death")


class SchedulerBeat(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduler that is running. `next_runs` are the next times of each job, by its name."""

    name: str = ""
    host: str
    pid: int
    is_active: bool
    started_at: datetime
    seen_at: datetime
    next_runs: dict[str, datetime]

    def document(self) -> dict[str, object]:
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


def _read_schedulers(redis: Redis) -> list[SchedulerBeat]:
    entries: Mapping[bytes, bytes] = redis.hgetall(SCHEDULERS_KEY)  # type: ignore[assignment]
    decode = get_decoder(SchedulerBeat).decode
    return [
        msgspec.structs.replace(decode(entry), name=name.decode())
        for name, entry in entries.items()
    ]


def write_scheduler(redis: Redis, beat: SchedulerBeat) -> None:
    with redis.pipeline() as pipeline:
        pipeline.hset(SCHEDULERS_KEY, beat.name, msgspec.json.encode(beat))
        pipeline.expire(SCHEDULERS_KEY, STALE_AFTER)
        pipeline.execute()


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
        seen_at = datetime.fromisoformat(seen)
        beats.append(WorkerBeat(name, host, int(pid or 0), state, seen_at, bool(suite)))
    return beats
