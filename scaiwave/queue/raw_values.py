"""Read values from Redis as bytes, as a connection of `open_redis` returns them.

A response that has not the type of its command is an InvalidResponse. In what reads a limited
number of values, a key of another type is as empty as a missing one: anyone who can write to Redis
can leave one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

from redis.exceptions import InvalidResponse, ResponseError

from scaiwave.queue.bounded_values import MAX_LOOK

if TYPE_CHECKING:
    from redis import Redis

_Type = TypeVar("_Type")
_Name = TypeVar("_Name", str, bytes)
MAX_NAME_BYTES = 200


def expect(value: object, kind: type[_Type]) -> _Type:
    """Return a response that has this type. Raises InvalidResponse."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidResponse(f"it is of the type {type(value).__name__}, not {kind.__name__}")
    return value


def expect_values(response: object) -> list[bytes]:
    """Return a response that is a list of values. Raises InvalidResponse."""
    return [expect(value, bytes) for value in expect(response, list)]


def is_wrong_type(response: object) -> bool:
    """Whether a response in a pipeline is the error of a key of another type.

    Raises other errors.
    """
    if not isinstance(response, Exception):
        return False
    if isinstance(response, ResponseError) and "WRONGTYPE" in str(response):
        return True
    raise response


def read_list(redis: Redis, key: str, *, limit: int = MAX_LOOK) -> list[bytes]:
    """Return the first elements of a list."""
    return expect_values(redis.lrange(key, 0, limit - 1))


def iterate_list(redis: Redis, key: str) -> Iterator[bytes]:
    """Yield the elements of a list; elements that move in the meantime may be missed."""
    for start in count(0, MAX_LOOK):
        values = expect_values(redis.lrange(key, start, start + MAX_LOOK - 1))
        yield from values
        if len(values) < MAX_LOOK:
            return


def read_members_before(redis: Redis, key: str, score: float, *, limit: int) -> list[bytes]:
    return expect_values(redis.zrangebyscore(key, 0, score, start=0, num=limit))


def read_some_names(redis: Redis, key: str, limit: int) -> list[bytes]:
    """Return the names of up to `limit` fields of a hash, without names that are too long."""
    return _read_short(lambda: redis.hrandfield(key, limit))


def read_some_members(redis: Redis, key: str, limit: int) -> list[bytes]:
    """Return up to `limit` members of a set, without members that are too long."""
    return _read_short(lambda: redis.srandmember(key, limit))


def _read_short(read: Callable[[], object]) -> list[bytes]:
    try:
        response = read()
    except ResponseError as error:
        response = error
    if is_wrong_type(response):
        return []
    return sorted(value for value in expect_values(response) if 0 < len(value) <= MAX_NAME_BYTES)


@dataclass(frozen=True)
class HashFields(Generic[_Name]):
    """Some fields of a hash. Missing fields have the size 0 and no value; too large ones have no
    value.
    """

    sizes: Mapping[_Name, int]
    values: Mapping[_Name, bytes]
    is_hash: bool = True


def read_hashes(
    redis: Redis, keys: Sequence[str] | Sequence[bytes], limits: Mapping[_Name, int]
) -> list[HashFields[_Name]]:
    """Read fields of hashes, with two requests however many there are.

    `limits` are the names of the fields with the greatest sizes that are read, in bytes.
    """
    names = list(limits)
    if not names:
        return [HashFields({}, {}) for _ in keys]
    with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            for name in names:
                pipeline.hstrlen(key, name)
        found = iter(pipeline.execute(raise_on_error=False))
        sizes = [_match_sizes(names, [next(found) for _ in names]) for _ in keys]
        small = [
            [name for name, size in (each or {}).items() if 0 < size <= limits[name]]
            for each in sizes
        ]
        for number, chosen in enumerate(small):
            if chosen:
                pipeline.hmget(keys[number], chosen)
        found = iter(pipeline.execute(raise_on_error=False))
    return [
        HashFields(
            each or dict.fromkeys(names, 0),
            _match_values(chosen, next(found)) if chosen else {},
            is_hash=each is not None,
        )
        for each, chosen in zip(sizes, small, strict=True)
    ]


def _match_sizes(names: Sequence[_Name], responses: Sequence[object]) -> dict[_Name, int] | None:
    """Return None for a key of another type."""
    if any(is_wrong_type(response) for response in responses):
        return None
    return {name: expect(size, int) for name, size in zip(names, responses, strict=True)}


def _match_values(names: Sequence[_Name], response: object) -> dict[_Name, bytes]:
    """Return the fields that still exist since their sizes were read."""
    if is_wrong_type(response):
        return {}
    pairs = zip(names, expect(response, list), strict=False)
    return {name: expect(value, bytes) for name, value in pairs if value is not None}
