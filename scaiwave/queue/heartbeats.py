"""Which workers and schedulers are running, as their heartbeats in Redis show.

What Redis contains is untrusted: entries that are not readable are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from redis.exceptions import InvalidResponse

from scaiwave.queue.bounded_values import OversizedValue
from scaiwave.queue.keys import ENQUEUED_KEY, SCHEDULERS_KEY
from scaiwave.queue.raw_values import (
    expect,
    expect_values,
    read_hashes,
    read_some_members,
    read_some_names,
)

if TYPE_CHECKING:
    from redis import Redis

STALE_AFTER = timedelta(seconds=30)
"""A scheduler without a heartbeat for so long is gone."""
MAX_ENTRIES = 100
MAX_ENTRY_BYTES, MAX_WORKER_FIELD_BYTES, MAX_TIME_BYTES = 4096, 1024, 20
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
    try:
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidResponse(f"it is not a time: {seconds}") from error


def list_schedulers(redis: Redis) -> list[SchedulerBeat]:
    """Return the schedulers with a recent heartbeat, the active one first."""
    beats = [beat for _, beat in _read_schedulers(redis) if beat is not None]
    return sorted(beats, key=lambda beat: (not beat.is_active, beat.name))[:MAX_ENTRIES]


def delete_stale_schedulers(redis: Redis) -> None:
    names = expect_values(redis.hrandfield(SCHEDULERS_KEY, MAX_ENTRIES))
    if any(isinstance(name, OversizedValue) for name in names):
        # It can't be named: delete all; running schedulers report themselves again in seconds.
        redis.unlink(SCHEDULERS_KEY)
    elif stale := [name for name, beat in _read_schedulers(redis) if beat is None]:
        redis.hdel(SCHEDULERS_KEY, *stale)


def _read_schedulers(redis: Redis) -> Iterator[tuple[bytes, SchedulerBeat | None]]:
    """Yield the names of the entries, and what each contains if that is readable and recent."""
    now = get_redis_time(redis)
    names = read_some_names(redis, SCHEDULERS_KEY, MAX_ENTRIES)
    (entries,) = read_hashes(redis, [SCHEDULERS_KEY], dict.fromkeys(names, MAX_ENTRY_BYTES))
    for name in names:
        beat = _parse_scheduler(name, entries.values.get(name, b""))
        is_recent = beat is not None and abs(now - beat.seen_at) <= STALE_AFTER
        yield name, beat if is_recent else None


def _parse_scheduler(name: bytes, entry: bytes) -> SchedulerBeat | None:
    try:
        values = json.loads(entry)
        next_runs = {
            str(function): _parse_time(text) for function, text in values["next_runs"].items()
        }
        return SchedulerBeat(
            name=name.decode(),
            host=str(values["host"]),
            pid=int(values["pid"]),
            is_active=values["is_active"] is True,
            started_at=_parse_time(values["started_at"]),
            seen_at=_parse_time(values["seen_at"]),
            next_runs=next_runs,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _parse_time(text: Any) -> datetime:
    """Raises ValueError or TypeError."""
    return datetime.fromisoformat(text).astimezone(UTC)


def read_enqueued_at(redis: Redis, job: str) -> datetime | None:
    """Return when a scheduler last enqueued a job, also one that has ended since."""
    value = redis.getrange(ENQUEUED_KEY.format(job), 0, MAX_TIME_BYTES)
    try:
        return datetime.fromtimestamp(int(expect(value, bytes)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def list_workers(redis: Redis) -> list[WorkerBeat]:
    """Return the workers with a recent heartbeat; RQ lets their keys expire otherwise."""
    keys = read_some_members(redis, "rq:workers", MAX_ENTRIES)
    found = read_hashes(redis, keys, dict.fromkeys(_WORKER_FIELDS, MAX_WORKER_FIELD_BYTES))
    beats = []
    for key, fields in zip(keys, found, strict=True):
        values = fields.values
        if "last_heartbeat" not in values or fields.sizes["death"]:
            continue
        pid = values.get("pid", b"")
        beats.append(
            WorkerBeat(
                name=_decode(key).removeprefix("rq:worker:"),
                host=_decode(values.get("hostname")),
                pid=int(pid) if len(pid) <= 10 and pid.isdigit() else 0,
                state=_decode(values.get("state")),
                seen_at=_parse_worker_time(values["last_heartbeat"]),
                is_suite="scaiwave" in values,
            )
        )
    return beats


def _decode(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")[:200]


def _parse_worker_time(text: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(text.decode()).astimezone(UTC)
    except ValueError:
        return None
