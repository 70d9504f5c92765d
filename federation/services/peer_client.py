"""One request to addresses that were checked before, within one span of time.

httpx would look the name up again, and counts its time-outs for each read, so that a peer could
trickle for ever; httpcore, on which it rests, lets us say where a connection goes.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from scaiwave.clients.errors import ResponseTooLarge
from scaiwave.clients.http.exceptions import UpstreamServer, translate_exception
from scaiwave.errors import ScaiWaveError

Headers = dict[str, str]


class Deadline:
    """Monotonic; `seconds` from when it is made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def capped(self, timeout: float | None, kind: type[Exception]) -> float:
        """What is left of the timeout. Raises `kind` when nothing is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise kind("out of time")
        return left if timeout is None else min(left, timeout)


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the given addresses, in their order, whatever host it is asked for."""

    def __init__(self, addresses: Iterable[str], deadline: Deadline) -> None:
        self._addresses = tuple(addresses)
        self._deadline = deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            left = self._deadline.capped(timeout, httpcore.ConnectTimeout)
            try:
                return BoundedStream(self._backend.connect_tcp(address, port, left), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class BoundedStream(httpcore.NetworkStream):
    """Another stream, none of whose steps goes on beyond the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.capped(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.capped(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.capped(timeout, httpcore.ConnectTimeout)
        secured = self._stream.start_tls(ssl_context, server_hostname, left)
        return BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def fetch(
    url: str, *, addresses: Iterable[str], peer: UpstreamServer, largest: int
) -> tuple[int, Headers, bytes]:
    """GET: status, headers in lower case, and a body of at most `largest` bytes.

    TLS is verified for the host of the URL, by the authorities that httpx trusts (SSL_CERT_FILE).
    No proxy is used and no redirect followed. Raises UpstreamUnreachable, UpstreamInvalidResponse
    and ResponseTooLarge.
    """
    waits = peer.timeouts
    backend = PinnedBackend(addresses, Deadline(waits.whole))
    context = httpx.create_ssl_context()
    try:
        with httpcore.ConnectionPool(ssl_context=context, network_backend=backend) as pool:
            timeouts = {"connect": waits.connect, "read": waits.read, "write": waits.write}
            return _exchange(pool, url, timeouts, peer, largest)
    except _FOREIGN as error:
        ours = _translated(error, peer)
    raise ours


def _exchange(
    pool: httpcore.ConnectionPool,
    url: str,
    timeouts: dict[str, float],
    peer: UpstreamServer,
    largest: int,
) -> tuple[int, Headers, bytes]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    headers |= {"User-Agent": "scaiwave", "Connection": "close"}
    asked: dict[str, Any] = {"headers": headers, "extensions": {"timeout": timeouts}}
    with pool.stream("GET", url, **asked) as response:
        said = {name.decode("latin-1").lower(): value for name, value in response.headers}
        body = b""
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > largest:
                raise ResponseTooLarge(f"{peer.name} answers with more than {largest // 1024} KB.")
    return response.status, {n: v.decode("latin-1") for n, v in said.items()}, body


_FOREIGN = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)
"""The roots of what httpcore raises."""


def _translated(error: Exception, peer: UpstreamServer) -> ScaiWaveError:
    """By the exception of the same name in httpx, which `foreign` knows."""
    twin: Exception = getattr(httpx, type(error).__name__)(str(error))
    twin.__cause__ = error
    return translate_exception(twin, peer).error
