"""The keys of the queue in Redis, and what others have left in their place.

A key of another type stops every command that uses it, and entries that are larger than any of this
suite make them slow. RQ expects the types of its keys.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from scaiwave.ids import new_id
from scaiwave.queue.definitions import QUEUES
from scaiwave.queue.errors import RedisKeyMisused
from scaiwave.queue.jobs import JOBS
from scaiwave.queue.raw_values import expect

if TYPE_CHECKING:
    from redis import Redis

SCHEDULERS_KEY = "scaiwave:schedulers"
SCHEDULER_LOCK_KEY = "scaiwave:scheduler:lock"
LAST_RUNS_KEY = "scaiwave:last_runs"
MOVED_PREFIX = "scaiwave:moved:"
USUAL_ENTRY_BYTES, USUAL_KEY_BYTES = 1024, 64 * 1024
"""More than the entries of this suite need, and than a key with few of them."""


def get_enqueued_key(job: str) -> str:
    """Return the key of the last time for which a scheduler enqueued the job, in Unix time."""
    return f"scaiwave:scheduler:enqueued:{job}"


def get_last_job_key(job: str) -> str:
    """Return the key of the ID of the last job of this name that was enqueued."""
    return f"scaiwave:last_job:{job}"


def _list_types() -> dict[str, str]:
    types = {"rq:queues": "set", "rq:workers": "set", SCHEDULERS_KEY: "hash", LAST_RUNS_KEY: "hash"}
    types[SCHEDULER_LOCK_KEY] = "string"
    for name in QUEUES:
        types |= {f"rq:queue:{name}": "list", f"rq:queue:{name}:intermediate": "list"}
        types |= {f"rq:wip:{name}": "zset", f"rq:failed:{name}": "zset"}
        types[f"scaiwave:cleaning:{name}"] = "string"
    for job in JOBS.values():
        types |= {get_enqueued_key(job.name): "string", get_last_job_key(job.name): "string"}
    return types


KEY_TYPES: Mapping[str, str] = _list_types()


def find_wrong_types(redis: Redis) -> dict[str, str]:
    """Return a sentence about each key that has another type."""
    with redis.pipeline(transaction=False) as pipeline:
        for key in KEY_TYPES:
            pipeline.type(key)
        found = [expect(each, bytes).decode("ascii", "replace") for each in pipeline.execute()]
    return {
        key: f"{key} is of the type {kind}, not {expected}"
        for (key, expected), kind in zip(KEY_TYPES.items(), found, strict=True)
        if kind not in ("none", expected)
    }


def move_wrong_types(redis: Redis, logger: logging.Logger) -> bool:
    """Rename the keys of another type, so that the others can be used; return whether any was."""
    is_moved = False
    for key, sentence in find_wrong_types(redis).items():
        target = MOVED_PREFIX + key
        with suppress(ResponseError):  # Another process has moved it, or this one may not.
            if not redis.renamenx(key, target):
                redis.rename(key, f"{target}:{new_id().hex}")
            is_moved = True
            logger.error(
                "Key of Redis moved to %s: %s. [%s] Fix: %s",
                target,
                sentence,
                RedisKeyMisused.code,
                RedisKeyMisused.fix,
                extra={"code": RedisKeyMisused.code, "fix": RedisKeyMisused.fix},
            )
    return is_moved


def find_moved_keys(redis: Redis) -> list[str]:
    with redis.pipeline(transaction=False) as pipeline:
        for key in KEY_TYPES:
            pipeline.exists(MOVED_PREFIX + key)
        found = pipeline.execute()
    return [MOVED_PREFIX + key for key, exists in zip(KEY_TYPES, found, strict=True) if exists]


def find_large_keys(redis: Redis) -> dict[str, tuple[int, int]]:
    """Return entries and bytes of each key that takes more memory than its entries should.

    Redis computes the size without sending the content. A server that does not permit that
    command has no such keys.
    """
    with redis.pipeline(transaction=False) as pipeline:
        counters = {
            "list": pipeline.llen,
            "zset": pipeline.zcard,
            "set": pipeline.scard,
            "hash": pipeline.hlen,
        }
        keys = [key for key, kind in KEY_TYPES.items() if kind in counters]
        for key in keys:
            counters[KEY_TYPES[key]](key)
            pipeline.memory_usage(key, samples=0)
        found = iter(pipeline.execute(raise_on_error=False))
    sizes = {key: (next(found), next(found)) for key in keys}
    return {
        key: (count, size)
        for key, (count, size) in sizes.items()
        if isinstance(count, int)
        and isinstance(size, int)
        and size > USUAL_KEY_BYTES + count * USUAL_ENTRY_BYTES
    }
