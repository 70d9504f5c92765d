"""Send one request to addresses that were checked before, within one overall deadline.

httpx would resolve the name again. httpcore, on which it is built, lets the caller choose the
address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from scaiwave.clients.errors import ResponseTooLarge
from scaiwave.clients.http.deadlines import BoundedStream, Deadline
from scaiwave.clients.http.exceptions import UpstreamServer, translate_exception
from scaiwave.clients.http.tls import create_tls_context

Headers = dict[str, str]


class PinnedBackend(httpcore.NetworkBackend):
    """Connect to the given addresses, in their order, regardless of the requested host."""

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
        last_error: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            time_left = self._deadline.remaining(timeout, httpcore.ConnectTimeout)
            try:
                return BoundedStream(
                    self._backend.connect_tcp(address, port, time_left), self._deadline
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last_error = error
        raise last_error


def fetch(
    url: str, *, addresses: Iterable[str], peer: UpstreamServer, max_bytes: int
) -> tuple[int, Headers, bytes]:
    """GET the URL; return the status, headers in lower case, and a body of at most `max_bytes`.

    TLS is verified for the host of the URL, with the authorities that this host trusts.
    No proxy is used and no redirect is followed. Raises UpstreamUnreachable,
    UpstreamInvalidResponse and ResponseTooLarge.
    """
    limits = peer.timeouts
    backend = PinnedBackend(addresses, Deadline(limits.total))
    context = create_tls_context()
    try:
        with httpcore.ConnectionPool(ssl_context=context, network_backend=backend) as pool:
            timeouts = {"connect": limits.connect, "read": limits.read, "write": limits.write}
            return _send_request(pool, url, timeouts, peer, max_bytes)
    except _HTTPCORE_ERRORS as error:
        # Translate through the httpx exception of the same name, which has a translator.
        twin: Exception = getattr(httpx, type(error).__name__)(str(error))
        twin.__cause__ = error
        translated = translate_exception(twin, peer).error
    raise translated


def _send_request(
    pool: httpcore.ConnectionPool,
    url: str,
    timeouts: dict[str, float],
    peer: UpstreamServer,
    max_bytes: int,
) -> tuple[int, Headers, bytes]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    headers |= {"User-Agent": "scaiwave", "Connection": "close"}
    options: dict[str, Any] = {"headers": headers, "extensions": {"timeout": timeouts}}
    with pool.stream("GET", url, **options) as response:
        received = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        }
        body = b""
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > max_bytes:
                raise ResponseTooLarge(f"{peer.name} returned more than {max_bytes // 1024} KB.")
    return response.status, received, body


_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)
"""The base classes of the exceptions that httpcore raises."""
