"""Record the bytes of responses as they arrive, before anything interprets them.

For responses that a server sends only once: between the socket and the recorder there is no system
call, and no code of the HTTP libraries that could fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ResponseRecorder:
    """Pass `trace` to `HttpClient.request`, for every request of that client from the first.

    `begin` is called before each request is sent (again after a retry), `record` with the bytes of
    its response, head included, as they came over the connection (TLS removed).
    """

    def __init__(self, *, begin: Callable[[], object], record: Callable[[bytes], object]) -> None:
        self._begin = begin
        self._record = record

    def trace(self, event: str, info: dict[str, object]) -> None:
        """Follow the events of httpcore (HTTPCore docs, Extensions, "trace")."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._record_stream(info["return_value"])
        elif event.endswith(".send_request_headers.started"):
            self._begin()

    def _record_stream(self, stream: Any) -> None:
        """Record what this connection reads; with TLS its outermost stream is last to come here."""
        read = stream.read

        def read_and_record(*args: object, **options: object) -> bytes:
            data: bytes = read(*args, **options)
            self._record(data)
            return data

        stream.read = read_and_record
