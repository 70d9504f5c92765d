"""How each job ended the last time, which Redis keeps by function.

Completed jobs are not kept. What Redis contains is untrusted: entries that are not readable are
left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scaiwave.queue.keys import LAST_RUNS_KEY
from scaiwave.queue.raw_values import read_hashes

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

MAX_ENTRY_BYTES = 1024


@dataclass(frozen=True)
class LastRun:
    """`error_code` is empty for a job that was completed."""

    ended_at: datetime
    error_code: str


def write_last_run(pipeline: Pipeline, function: str, *, error_code: str = "") -> None:
    entry = {"ended_at": datetime.now(UTC).isoformat(), "error_code": error_code}
    pipeline.hset(LAST_RUNS_KEY, function, json.dumps(entry))


def read_last_runs(redis: Redis, functions: Sequence[str]) -> dict[str, LastRun]:
    """Return the last runs that are known, by function."""
    limits = dict.fromkeys(functions, MAX_ENTRY_BYTES)
    (entries,) = read_hashes(redis, [LAST_RUNS_KEY], limits)
    runs = {}
    for function, entry in entries.values.items():
        with suppress(ValueError, TypeError, KeyError, RecursionError, OverflowError):
            values = json.loads(entry)
            ended_at = datetime.fromisoformat(values["ended_at"]).astimezone(UTC)
            runs[function] = LastRun(ended_at, str(values["error_code"]))
    return runs
