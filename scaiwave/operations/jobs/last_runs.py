"""How each job ended the last time, which Redis keeps by function. Completed jobs are not kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scaiwave.queue.heartbeats import parse_time

if TYPE_CHECKING:
    from redis import Redis

LAST_RUNS_KEY = "scaiwave:last_runs"


@dataclass(frozen=True)
class LastRun:
    """`error_code` is empty for a job that was completed."""

    ended_at: datetime
    error_code: str


def write_last_run(redis: Redis, function: str, *, error_code: str = "") -> None:
    entry = {"ended_at": datetime.now(UTC).isoformat(), "error_code": error_code}
    redis.hset(LAST_RUNS_KEY, function, json.dumps(entry))


def read_last_runs(redis: Redis, functions: Sequence[str]) -> dict[str, LastRun]:
    """Return the last runs that are known, by function."""
    runs = {}
    for function, entry in zip(functions, redis.hmget(LAST_RUNS_KEY, functions), strict=True):
        if entry:
            values = json.loads(entry)
            runs[function] = LastRun(parse_time(values["ended_at"]), values["error_code"])
    return runs
