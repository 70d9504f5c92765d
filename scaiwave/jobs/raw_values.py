"""Read values from Redis as bytes, which is what a connection of `open_redis` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from redis import Redis


def read_list(redis: Redis, key: str, *, limit: int = 0) -> list[bytes]:
    """Return the first elements of a list, or with limit 0 all of them."""
    return cast("list[bytes]", redis.lrange(key, 0, limit - 1))


def read_members(redis: Redis, key: str, *, newest_first: bool = False) -> list[bytes]:
    """Return the members of a sorted set by their scores."""
    return cast("list[bytes]", redis.zrange(key, 0, -1, desc=newest_first))


def read_members_before(redis: Redis, key: str, score: float, *, limit: int) -> list[bytes]:
    return cast("list[bytes]", redis.zrangebyscore(key, 0, score, start=0, num=limit))


def read_hash(redis: Redis, key: str) -> dict[bytes, bytes]:
    return cast("dict[bytes, bytes]", redis.hgetall(key))


def read_fields(redis: Redis, key: str | bytes, names: Sequence[str]) -> list[bytes | None]:
    return cast("list[bytes | None]", redis.hmget(key, names))
