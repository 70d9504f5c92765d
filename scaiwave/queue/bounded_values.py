"""Never keep a value of Redis that is larger than any of this suite, whatever command returns it.

Anyone who can write to Redis can store an entry of 512 MB in a list or a sorted set, and no command
returns its size before its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

# redis-py has no public class that reads a value.
from redis._parsers import _RESP2Parser
from redis._parsers.base import _RESPBase
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR, SocketBuffer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import WatchError

if TYPE_CHECKING:
    from redis import Redis

MAX_VALUE_BYTES = 16 * 1024
MAX_LOOK = 500
"""Entries that one request returns at most."""
_CHUNK_BYTES = 256 * 1024
_MARK = "scaiwave: oversized"


class OversizedValue(bytes):
    """Stands for a value that was not kept: it is empty, and is not split further."""

    size: int

    def partition(self, separator: Any, /) -> tuple[bytes, bytes, bytes]:
        return self, b"", b""


class _BoundedBuffer(SocketBuffer):
    def read(self, length: int, *args: Any, **options: Any) -> bytes:
        if length <= MAX_VALUE_BYTES:
            return super().read(length, *args, **options)
        missing = length + 2 - len(self._buffer.read(length + 2))
        chunk = bytearray(_CHUNK_BYTES)
        while missing > 0:
            received = self._sock.recv_into(chunk, min(missing, _CHUNK_BYTES))
            if not received:
                raise RedisConnectionError(SERVER_CLOSED_CONNECTION_ERROR)
            missing -= received
        value = OversizedValue()
        value.size = length
        return value


def limit_values(redis: Redis) -> None:
    """Let the connections that this client opens from now on return OversizedValue."""
    pool = redis.connection_pool
    pool.connection_class = _limit_connection(pool.connection_class)


@cache
def _limit_connection(connection_class: Any) -> Any:
    class LimitedConnection(connection_class):  # type: ignore[misc]
        def set_parser(self, parser_class: Any) -> None:
            super().set_parser(_limit_parser(parser_class))

    return LimitedConnection


@cache
def _limit_parser(parser_class: Any) -> Any:
    """The parser in C, which may be installed, can't be limited: redis-py's own replaces it."""
    base: Any = parser_class if issubclass(parser_class, _RESPBase) else _RESP2Parser

    class LimitedParser(base):  # type: ignore[misc]
        def on_connect(self, connection: Any) -> None:
            super().on_connect(connection)
            self._buffer = _BoundedBuffer(
                connection._sock, self.socket_read_size, connection.socket_timeout
            )

    return LimitedParser


def delete_oversized(redis: Redis, key: str, *, is_list: bool) -> list[int]:
    """Delete the oversized among the first entries of a list or a sorted set; return their sizes.

    They are addressed by position, because their content is not known. Nothing is deleted if
    another process changes the key at the same time: the next call tries again.
    """
    with redis.pipeline() as pipeline:
        pipeline.watch(key)  # type: ignore[no-untyped-call]
        read = pipeline.lrange if is_list else pipeline.zrange
        entries: Sequence[bytes] = read(key, 0, MAX_LOOK - 1)  # type: ignore[assignment]
        found = {n: each.size for n, each in enumerate(entries) if isinstance(each, OversizedValue)}
        if not found:
            return []
        pipeline.multi()
        for position in reversed(found):
            if is_list:
                pipeline.lset(key, position, _MARK)
                pipeline.lrem(key, 1, _MARK)
            else:
                pipeline.zremrangebyrank(key, position, position)
        try:
            pipeline.execute()
        except WatchError:
            return []
    return list(found.values())
