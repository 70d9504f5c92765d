"""The keys of the queue in Redis, and what others have left in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scaiwave.queue.definitions import QUEUES
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.raw_values import expect

if TYPE_CHECKING:
    from redis import Redis

SCHEDULERS_KEY, LAST_RUNS_KEY = "scaiwave:schedulers", "scaiwave:last_runs"
SCHEDULER_LOCK_KEY = "scaiwave:scheduler:lock"
ENQUEUED_KEY = "scaiwave:scheduler:enqueued:{}"
"""The last due time of the job of this name that a scheduler enqueued, in Unix time."""
LAST_JOB_KEY = "scaiwave:last_job:{}"
"""The ID of the last job of this name that was enqueued."""
LARGE_KEY_BYTES = 32 * 1024 * 1024

_TYPES_OF_QUEUE = {
    "rq:queue:{}": "list",
    "rq:queue:{}:intermediate": "list",
    "rq:wip:{}": "zset",
    "rq:failed:{}": "zset",
    "scaiwave:cleaning:{}": "string",
}
_TYPES_OF_JOB = {ENQUEUED_KEY: "string", LAST_JOB_KEY: "string"}
KEY_TYPES: Mapping[str, str] = {
    "rq:queues": "set",
    "rq:workers": "set",
    SCHEDULERS_KEY: "hash",
    LAST_RUNS_KEY: "hash",
    SCHEDULER_LOCK_KEY: "string",
    **{key.format(name): kind for name in QUEUES for key, kind in _TYPES_OF_QUEUE.items()},
    **{key.format(job.name): kind for job in JOBS.values() for key, kind in _TYPES_OF_JOB.items()},
}


def find_wrong_types(redis: Redis) -> dict[str, str]:
    """Return a sentence about each key of another type, which stops every command that uses it."""
    with redis.pipeline(transaction=False) as pipeline:
        for key in KEY_TYPES:
            pipeline.type(key)
        found = [expect(each, bytes).decode("ascii", "replace") for each in pipeline.execute()]
    return {
        key: f"{key} is of the type {kind}, not {expected}"
        for (key, expected), kind in zip(KEY_TYPES.items(), found, strict=True)
        if kind not in ("none", expected)
    }


def find_large_keys(redis: Redis) -> dict[str, int]:
    """Return the bytes of each key that takes more memory than the jobs of this server need.

    Redis computes them without sending the content. One that does not permit that has none.
    """
    with redis.pipeline(transaction=False) as pipeline:
        for key in KEY_TYPES:
            pipeline.memory_usage(key, samples=0)
        sizes = zip(KEY_TYPES, pipeline.execute(raise_on_error=False), strict=True)
    return {key: size for key, size in sizes if isinstance(size, int) and size > LARGE_KEY_BYTES}
