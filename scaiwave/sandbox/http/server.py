"""HTTP/1.1 over the standard library's threading server, with nothing it does not need.

The standard request handler parses headers with the e-mail package, which costs more than a
page of a hundred rows does; this one splits lines. A response is one write.
"""

from __future__ import annotations

import contextlib
import http
import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from email.utils import formatdate
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from scaiwave.sandbox.http.routing import Request, Response, json_response

MAX_BODY = 1 << 20
MAX_LINE = 1 << 16
MAX_HEADERS = 100
LINGER = 1.0
"""Seconds to wait for what a client is still sending when its connection ends."""
MOST_LEFT_UNREAD = 64
"""Reads of 64 KiB; whoever sends more than that is cut off."""
logger = logging.getLogger("scaiwave.sandbox")
Respond = Callable[[Request], Response]


class BadRequest(Exception):
    """The bytes are no request that this server reads; the connection ends with an answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.response = json_response({"detail": detail}, status=status)


class Connection(socketserver.StreamRequestHandler):
    """One client's connection: request after request until either side has had enough."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        try:
            while self._serve_one():
                pass
        except ConnectionError as error:
            # The client is gone, or the server is being stopped: nobody is left to answer.
            logger.debug("Connection from %s ended: %s", self.client_address, error)

    def _serve_one(self) -> bool:
        try:
            request = self._read()
        except BadRequest as bad:
            self._write(bad.response, keep=False)
            return False
        if request is None:
            return False
        keep = request.headers.get("connection", "").lower() != "close"
        return self._write(self.server.respond(request), keep=keep)

    def _read(self) -> Request | None:
        """The next request; None when the client has closed. Raises BadRequest."""
        line = self._line()
        if not line:
            return None
        words = line.split(" ")
        if len(words) != 3 or words[2] != "HTTP/1.1":
            raise BadRequest(505 if len(words) == 3 else 400, "Only HTTP/1.1 is spoken here")
        headers = self._headers()
        path, _, query = words[1].partition("?")
        parsed = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        body = self._body(headers)
        return Request(words[0], words[1], unquote(path), parsed, headers, body)

    def _line(self) -> str:
        line = self.rfile.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise BadRequest(431, "Header line too long")
        return line.decode("latin-1").rstrip("\r\n")

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
            if len(headers) > MAX_HEADERS:
                raise BadRequest(431, "Too many headers")
        return headers

    def _body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise BadRequest(411, "Content-Length required")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadRequest(400, "Content-Length is not a number")
        if int(length) > MAX_BODY:
            raise BadRequest(413, "Body too large")
        body = self.rfile.read(int(length)) if int(length) else b""
        if len(body) < int(length):
            raise ConnectionResetError("The client went away within its request.")
        return body

    def _write(self, response: Response, *, keep: bool) -> bool:
        """Send it, as spoilt as it is meant to be; false when the connection ends here."""
        if response.wire == "drop":
            return False
        keep = keep and response.wire is None
        head, body = self.server.head(response, keep=keep), response.body
        self.request.sendall(head + (body[: len(body) // 2] if response.wire == "cut" else body))
        return keep


class Server(ThreadingHTTPServer):
    """`respond` answers requests; `clock` gives the Unix time of the Date header."""

    daemon_threads = True
    request_queue_size = 128
    # Two sandboxes on one port would share its requests.
    allow_reuse_port = False

    def __init__(
        self, address: tuple[str, int], respond: Respond, *, clock: Callable[[], float]
    ) -> None:
        super().__init__(address, Connection)
        self.respond = respond
        self._clock = clock
        self._open: dict[Any, threading.Thread] = {}
        self._date: tuple[int, str] = (0, "")

    def server_bind(self) -> None:
        """Bind without the look-up of the host's full name, which may ask the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        worker = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._open[request] = worker
        worker.start()

    def shutdown_request(self, request: Any) -> None:
        """Close, but read first what is still coming: the kernel answers unread data with a
        reset, which may overtake an answer such as 413."""
        with contextlib.suppress(OSError):  # the client may have been faster, or takes too long
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER)
            for _ in range(MOST_LEFT_UNREAD):
                if not request.recv(65536):
                    break
        super().shutdown_request(request)
        self._open.pop(request, None)

    def hang_up(self) -> None:
        """End all connections and wait for their threads, at most two seconds each."""
        for connection, worker in list(self._open.items()):
            with contextlib.suppress(OSError):  # the client may have been faster
                connection.shutdown(socket.SHUT_RDWR)
            worker.join(timeout=2)

    def head(self, response: Response, *, keep: bool) -> bytes:
        length = len(response.body) + (100 if response.wire == "wrong_length" else 0)
        lines = [
            f"HTTP/1.1 {response.status} {_reason(response.status)}",
            f"Date: {self._http_date()}",
            "Server: scaikey-sandbox",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if response.status not in (204, 304):
            lines += [f"Content-Type: {response.content_type}", f"Content-Length: {length}"]
        if not keep:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")

    def _http_date(self) -> str:
        """The current time by the server's clock, written once a second."""
        now = int(self._clock())
        if self._date[0] != now:
            self._date = now, formatdate(now, usegmt=True)
        return self._date[1]


def _reason(status: int) -> str:
    """The phrase for any status, also for one that no standard knows."""
    return _PHRASES.get(status, "Unknown")


_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
