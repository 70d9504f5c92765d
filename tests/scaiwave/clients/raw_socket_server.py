"""A small HTTP server on loopback that says exactly the bytes a test wants said."""

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
class Asked:
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
class Said:
    """Raw bytes; the connection is closed after them if `close`."""

    raw: bytes
    close: bool = False


Answers = Callable[[Asked], Said]


def say(
    body: Any = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    close: bool = False,
) -> Said:
    """An answer; anything but bytes goes out as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    fields = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
    lines += [f"{name}: {value}" for name, value in {**fields, **(headers or {})}.items()]
    return Said("\r\n".join([*lines, "", ""]).encode() + content, close=close)


def hang_up(raw: bytes = b"") -> Said:
    return Said(raw, close=True)


@dataclass
class Loopback:
    """Serves in threads while used as a context manager; `asked` holds what came in."""

    answers: Answers
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)

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
            asked = Asked(method, target, headers, body)
            self.asked.append(asked)
            said = self.answers(asked)
            handler.wfile.write(said.raw)
            if said.close:
                return
