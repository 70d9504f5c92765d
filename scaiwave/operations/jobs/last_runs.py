"""How each job ended the last time, which Redis keeps by function. Completed jobs are not kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from scaiwave.core.msgspec_decoders import get_decoder

if TYPE_CHECKING:
    from redis import Redis

LAST_RUNS_KEY = "scaiwave:last_runs"


class LastRun(msgspec.Struct, frozen=True):
    """`error_code` is empty for a job that was completed."""

    ended_at: datetime
    error_code: str


def write_last_run(redis: Redis, function: str, *, error_code: str = "") -> None:
    entry = msgspec.json.encode(LastRun(datetime.now(UTC), error_code))
    redis.hset(LAST_RUNS_KEY, function, entry)


def read_last_runs(redis: Redis, functions: Sequence[str]) -> dict[str, LastRun]:
    """Return the last runs that are known, by function."""
    entries = redis.hmget(LAST_RUNS_KEY, functions)
    decode = get_decoder(LastRun).decode
    known = zip(functions, entries, strict=True)
    return {function: decode(entry) for function, entry in known if entry}
