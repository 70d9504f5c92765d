"""Streams of httpcore that end at a deadline, however steadily the other side sends.

The timeouts of httpx apply to each read, so a server could send one byte at a time forever.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import httpcore
import httpx
from httpcore import SOCKET_OPTION


class Limiter(Protocol):
    def remaining(self, timeout: float | None, error_class: type[Exception]) -> float | None:
        """Return the timeout, capped to the time left. Raises `error_class` if none is left."""


class Deadline:
    """A point on the monotonic clock, `seconds` after the object is created."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self._end

    def remaining(self, timeout: float | None, error_class: type[Exception]) -> float:
        seconds_left = self._end - time.monotonic()
        if seconds_left <= 0:
            raise error_class("deadline exceeded")
        return seconds_left if timeout is None else min(seconds_left, timeout)


class ThreadDeadline(threading.local):
    """The deadline of the request that the current thread is waiting for, if any."""

    def __init__(self) -> None:
        self._current: Deadline | None = None

    @contextmanager
    def limit(self, deadline: Deadline) -> Iterator[None]:
        before, self._current = self._current, deadline
        try:
            yield
        finally:
            self._current = before

    def remaining(self, timeout: float | None, error_class: type[Exception]) -> float | None:
        if self._current is None:
            return timeout
        return self._current.remaining(timeout, error_class)


class BoundedStream(httpcore.NetworkStream):
    """A stream whose operations end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Limiter) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        time_left = self._deadline.remaining(timeout, httpcore.ConnectTimeout)
        secured = self._stream.start_tls(ssl_context, server_hostname, time_left)
        return BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class BoundedBackend(httpcore.NetworkBackend):
    """Opens streams that end at the deadline of the thread that uses them."""

    def __init__(self, backend: httpcore.NetworkBackend, deadline: Limiter) -> None:
        self._backend = backend
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        time_left = self._deadline.remaining(timeout, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, time_left, local_address, socket_options)
        return BoundedStream(stream, self._deadline)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


def bound_client(client: httpx.Client, deadline: Limiter) -> None:
    """Let every connection of a client end at the deadline, also those through a proxy.

    httpx has no option for the backend of its pools; a test fails if it renames them.
    """
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool
            pool._network_backend = BoundedBackend(pool._network_backend, deadline)
