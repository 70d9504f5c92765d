"""A small HTTP server on loopback that sends exactly the bytes of a test."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass
class RawRequest:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass
class RawResponse:
    """Raw bytes; the connection is closed after them if `close`."""

    raw: bytes
    close: bool = False


Responder = Callable[[RawRequest], RawResponse]


def make_response(
    body: Any = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    close: bool = False,
) -> RawResponse:
    """Make a response; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    fields = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
    lines += [f"{name}: {value}" for name, value in {**fields, **(headers or {})}.items()]
    return RawResponse("\r\n".join([*lines, "", ""]).encode() + content, close=close)


def hang_up(raw: bytes = b"") -> RawResponse:
    return RawResponse(raw, close=True)


@dataclass
class RawServer:
    """Serves in threads as a context manager, and records the requests."""

    respond: Responder
    tls: ssl.SSLContext | None = None
    requests: list[RawRequest] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def get_request(self) -> Any:
                connection, address = super().get_request()
                if outer.tls is not None:
                    connection = outer.tls.wrap_socket(
                        connection, server_side=True, do_handshake_on_connect=False
                    )
                return connection, address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients of these tests break connections on purpose."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        while line := handler.rfile.readline():
            method, target, _ = line.decode("latin-1").split(" ")
            headers: dict[str, str] = {}
            while (field_line := handler.rfile.readline().decode("latin-1").strip()) != "":
                name, _, value = field_line.partition(":")
                headers[name.lower()] = value.strip()
            body = handler.rfile.read(int(headers.get("content-length", 0)))
            request = RawRequest(method, target, headers, body)
            self.requests.append(request)
            response = self.respond(request)
            handler.wfile.write(response.raw)
            if response.close:
                return
