"""A TCP proxy that delays, throttles, cuts and corrupts what passes between a client and a server.

A test chooses the moment: it records which exchanges a command has with a server, and repeats the
command with a fault at one of them. An exchange is what a client sends, and what the server sends
before the client sends again. Exchanges are counted over all connections, from 1.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 65536
MAX_RECORDED_BYTES = 300
"""What is recorded of each request."""
PAUSE_SECONDS = 0.004
"""Between two pieces of what is throttled."""
FROZEN_SECONDS = 0.05
"""How soon a connection that has ended in a frozen proxy is closed after it."""


class FaultKind(Enum):
    DELAY = "delay"
    """The answer waits."""
    THROTTLE = "throttle"
    """From this exchange on, both sides get small pieces with pauses."""
    CUT = "cut"
    """The connection ends in the middle."""
    RESET = "reset"
    """The same with a reset, as by a firewall."""
    OUTAGE = "outage"
    """A cut, after which the server accepts no connection for a while."""
    SILENCE = "silence"
    """A cut, after which the server accepts connections and gets no query for a while."""
    FREEZE = "freeze"
    """From this exchange on nothing passes, not even the end of a client, but both kernels
    acknowledge what they get, and connections are accepted."""
    CORRUPT = "corrupt"
    """The highest bit of one byte is inverted."""


Place = Callable[[bytes], int | None]


def find_frame(chunk: bytes) -> int | None:
    """Return the place of the byte that names the type of a message of PostgreSQL or Redis."""
    return 0


def find_http_body(chunk: bytes) -> int | None:
    """Return the middle of the body that a chunk of HTTP contains, or None if it has none."""
    if chunk.startswith(b"HTTP/") or b" HTTP/1.1\r\n" in chunk[:CHUNK_BYTES]:
        start = chunk.find(b"\r\n\r\n") + 4
        if start < 4 or start == len(chunk):
            return None
    else:
        start = 0
    return start + (len(chunk) - start) // 2


@dataclass(frozen=True)
class Fault:
    """What happens at an exchange: to the request with `to_request`, else to the answer.

    It happens to so many exchanges from this one on as `times`, to each once it is longer than
    `after` bytes; throttling goes on. A cut passes on `kept` of the chunk. `place` returns which
    byte of a chunk is corrupted, None for one that is passed on unchanged. `seconds` is how long a
    delay, an outage or a silence takes, `pieces` the bytes of each piece if throttled.
    """

    kind: FaultKind
    exchange: int
    to_request: bool = False
    times: int = 1
    after: int = 0
    kept: float = 0.5
    place: Place = find_frame
    seconds: float = 0.3
    pieces: int = 16


@dataclass
class _Connection:
    client: socket.socket
    server: socket.socket
    exchange: int = 0
    answered: int = 0
    struck: int = 0
    is_answered: bool = True

    def close(self, *, reset: bool = False) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # It wakes the thread that reads; for a reset, nothing may be sent to the other end.
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            end.close()


@dataclass
class FaultyProxy:
    """Forwards connections to `target`, a host and port or the path of a socket.

    A context manager. Since the last `expect`, `requests` are the beginnings of the requests,
    `passed` the bytes in both directions, and `strikes` how often the fault has happened.
    """

    target: tuple[str, int] | str
    requests: list[bytes] = field(default_factory=list)
    passed: int = 0
    strikes: int = 0
    is_frozen: bool = False

    @classmethod
    def to_url(cls, url: str) -> Self:
        """Return a proxy of the server of a URL, which may have a socket in place of a host."""
        parts = urlsplit(url)
        if directories := parse_qs(parts.query).get("host"):
            return cls(f"{directories[0]}/.s.PGSQL.5432")
        if parts.scheme == "unix":
            return cls(parts.path)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls((parts.hostname, parts.port))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._fault: Fault | None = None
        self._out_until = self._silent_until = 0.0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing alone would not wake the thread that waits for connections.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.expect(None)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def expect(self, fault: Fault | None) -> None:
        """Close all connections, begin to count and record again, with this fault."""
        with self._lock:
            connections, self._connections = self._connections, []
            self._fault, self._out_until, self._silent_until = fault, 0.0, 0.0
            self.requests, self.passed, self.strikes = [], 0, 0
            self.is_frozen = False
        for connection in connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        if time.monotonic() < self._out_until:
            client.close()
            return
        if isinstance(self.target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
        else:
            server = socket.create_connection(self.target)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client, server)
        with self._lock:
            self._connections.append(connection)
        threading.Thread(target=self._pump, args=(connection, True), daemon=True).start()
        self._pump(connection, False)

    def _pump(self, connection: _Connection, is_request: bool) -> None:
        source, target = connection.client, connection.server
        if not is_request:
            source, target = target, source
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                self._count(connection, chunk, is_request)
                self._pass_on(connection, target, chunk, is_request)
        while self.is_frozen:
            time.sleep(FROZEN_SECONDS)
        connection.close()

    def _count(self, connection: _Connection, chunk: bytes, is_request: bool) -> None:
        with self._lock:
            self.passed += len(chunk)
            if not is_request:
                connection.is_answered = True
                connection.answered += len(chunk)
            elif connection.is_answered:
                self.requests.append(chunk[:MAX_RECORDED_BYTES])
                connection.exchange = len(self.requests)
                connection.answered = 0
                connection.is_answered = False

    def _pass_on(
        self, connection: _Connection, target: socket.socket, chunk: bytes, is_request: bool
    ) -> None:
        fault = self._take(connection, chunk, is_request)
        is_query = is_request and chunk[:1] in {b"Q", b"P"}  # not the messages that connect
        if is_query and fault is None and time.monotonic() < self._silent_until:
            return
        if self.is_frozen or (fault and fault.kind is FaultKind.FREEZE):
            self.is_frozen = True
            return
        if fault is None:
            target.sendall(chunk)
        elif fault.kind is FaultKind.THROTTLE:
            for start in range(0, len(chunk), fault.pieces):
                target.sendall(chunk[start : start + fault.pieces])
                time.sleep(PAUSE_SECONDS)
        elif fault.kind is FaultKind.DELAY:
            time.sleep(fault.seconds)
            target.sendall(chunk)
        elif fault.kind is FaultKind.CORRUPT:
            place = fault.place(chunk)
            assert place is not None
            target.sendall(chunk[:place] + bytes([chunk[place] ^ 0x80]) + chunk[place + 1 :])
        else:
            target.sendall(chunk[: int(len(chunk) * fault.kept)])
            connection.close(reset=fault.kind is FaultKind.RESET)

    def _take(self, connection: _Connection, chunk: bytes, is_request: bool) -> Fault | None:
        """Return the fault that this chunk meets."""
        with self._lock:
            fault = self._fault
            if fault is None or connection.exchange < fault.exchange:
                return None
            if fault.kind is FaultKind.THROTTLE:
                self.strikes += 1
                return fault
            if is_request is not fault.to_request or connection.exchange == connection.struck:
                return None
            if self.strikes == fault.times or connection.answered < fault.after:
                return None
            if fault.kind is FaultKind.CORRUPT and fault.place(chunk) is None:
                return None
            self.strikes += 1
            connection.struck = connection.exchange
            if fault.kind is FaultKind.OUTAGE:
                self._out_until = time.monotonic() + fault.seconds
            if fault.kind is FaultKind.SILENCE:
                self._silent_until = time.monotonic() + fault.seconds
            return fault
