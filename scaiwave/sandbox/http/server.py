"""A minimal HTTP/1.1 server on top of the standard library's threading server.

The standard request handler parses headers with the e-mail package, which takes longer than
building a page of a hundred rows. This one splits lines, and sends a response in one write.
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

from scaiwave.sandbox.http.messages import Request, Response, json_response

MAX_BODY_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 16
MAX_HEADERS = 100
LINGER_SECONDS = 1.0
"""How long to wait for data that a client is still sending when its connection is closed."""
MAX_DRAIN_READS = 64
"""Reads of 64 KiB each; a client that sends more gets a connection reset."""
logger = logging.getLogger("scaiwave.sandbox")
RequestHandler = Callable[[Request], Response]


class BadRequest(Exception):
    """The request is malformed or unsupported; the connection is closed after the response."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.response = json_response({"detail": detail}, status=status)


class Connection(socketserver.StreamRequestHandler):
    """One client's connection: serve requests until one side closes it."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        keep = True
        try:
            while keep:
                try:
                    request = self._read_request()
                except BadRequest as error:
                    self._write_response(error.response, keep=False)
                    return
                if request is None:
                    return
                keep = request.headers.get("connection", "").lower() != "close"
                keep = self._write_response(self.server.respond(request), keep=keep)
        except ConnectionError as error:
            # The client has disconnected, or the server is stopping: nothing can be sent.
            logger.debug("Connection from %s closed: %s", self.client_address, error)

    def _read_request(self) -> Request | None:
        """Return the next request, or None if the client has disconnected. Raises BadRequest."""
        line = self._read_line()
        if not line:
            return None
        request_line = line.split(" ")
        if len(request_line) != 3 or request_line[2] != "HTTP/1.1":
            raise BadRequest(505 if len(request_line) == 3 else 400, "Only HTTP/1.1 is supported")
        headers: dict[str, str] = {}
        while line := self._read_line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
            if len(headers) > MAX_HEADERS:
                raise BadRequest(431, "Too many headers")
        path, _, query = request_line[1].partition("?")
        parsed = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        if "transfer-encoding" in headers:
            raise BadRequest(411, "Content-Length required")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadRequest(400, "Content-Length is not a number")
        if int(length) > MAX_BODY_BYTES:
            raise BadRequest(413, "Body too large")
        body = self.rfile.read(int(length)) if int(length) else b""
        if len(body) < int(length):
            raise ConnectionResetError("The client disconnected within a request.")
        return Request(request_line[0], request_line[1], unquote(path), parsed, headers, body)

    def _read_line(self) -> str:
        line = self.rfile.readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES:
            raise BadRequest(431, "Header line too long")
        return line.decode("latin-1").rstrip("\r\n")

    def _write_response(self, response: Response, *, keep: bool) -> bool:
        """Send the response with its fault, and return whether to keep the connection."""
        if response.connection_fault == "drop":
            return False
        keep = keep and response.connection_fault is None
        head, body = self.server.build_head(response, keep=keep), response.body
        self.request.sendall(
            head + (body[: len(body) // 2] if response.connection_fault == "cut" else body)
        )
        return keep


class Server(ThreadingHTTPServer):
    """`respond` handles a request; `clock` returns the Unix time for the Date header."""

    daemon_threads = True
    request_queue_size = 128
    # With it, two sandboxes on the same port would share its requests.
    allow_reuse_port = False

    def __init__(
        self, address: tuple[str, int], respond: RequestHandler, *, clock: Callable[[], float]
    ) -> None:
        super().__init__(address, Connection)
        self.respond = respond
        self._clock = clock
        self._connections: dict[Any, threading.Thread] = {}
        self._date: tuple[int, str] = (0, "")

    def server_bind(self) -> None:
        """Bind without looking up the host's full name, which may query DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def process_request(self, request: Any, client_address: object) -> None:
        worker = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._connections[request] = worker
        worker.start()

    def shutdown_request(self, request: Any) -> None:
        """Read the rest of the request, then close.

        On a close with unread data the kernel sends a reset, which may overtake a response such
        as 413.
        """
        with contextlib.suppress(OSError):  # the client has disconnected, or takes too long
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER_SECONDS)
            for _ in range(MAX_DRAIN_READS):
                if not request.recv(65536):
                    break
        super().shutdown_request(request)
        self._connections.pop(request, None)

    def close_connections(self) -> None:
        """Close all connections and wait for their threads, at most two seconds each."""
        for connection, worker in list(self._connections.items()):
            with contextlib.suppress(OSError):  # the client has disconnected
                connection.shutdown(socket.SHUT_RDWR)
            worker.join(timeout=2)

    def build_head(self, response: Response, *, keep: bool) -> bytes:
        length = len(response.body) + (100 if response.connection_fault == "wrong_length" else 0)
        now = int(self._clock())
        if self._date[0] != now:  # formatted once a second
            self._date = now, formatdate(now, usegmt=True)
        lines = [
            f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, 'Unknown')}",
            f"Date: {self._date[1]}",
            "Server: scaikey-sandbox",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if response.status not in (204, 304):
            lines += [f"Content-Type: {response.content_type}", f"Content-Length: {length}"]
        if not keep:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
