"""Responses that are sent while they are built."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from django.conf import settings
from django.http import HttpRequest

KIB = 1024
GRACE_SECONDS = 10.0
"""What a client may take longer than the least rate allows."""

MAX_STALL_SECONDS = 60.0
"""The time for one piece, even if the client was fast before."""

POLL_SECONDS = 1.0


def can_detect_abort(request: HttpRequest) -> bool:
    """Return whether the client can tell an interrupted response from a complete one.

    An HTTP/1.0 response ends when the connection closes, so nothing shows that it is incomplete.
    """
    return request.META.get("SERVER_PROTOCOL") != "HTTP/1.0"


class DownloadPace:
    """Breaks the connection of a client that takes a response too slowly, or stops reading.

    Only the time in which the server waits for the client counts, not the one in which it reads
    rows. A thread watches, because sending blocks while the client takes nothing.
    """

    def __init__(self, min_bytes_per_second: int) -> None:
        self._min_bytes_per_second = min_bytes_per_second
        self._lock = threading.Lock()
        self._size = 0
        self._seconds = 0.0
        self._sent_since: float | None = None

    def start_sending(self, size: int) -> None:
        with self._lock:
            self._size += size
            self._sent_since = time.monotonic()

    def stop_sending(self) -> None:
        with self._lock:
            if self._sent_since is not None:
                self._seconds += time.monotonic() - self._sent_since
                self._sent_since = None

    def is_too_slow(self, now: float) -> bool:
        """Whether the client has had more time than it needs for all bytes at the least rate.

        A client that was fast before may still not take a single piece for long.
        """
        with self._lock:
            waited = 0.0 if self._sent_since is None else now - self._sent_since
            budget = GRACE_SECONDS + self._size / self._min_bytes_per_second
            return waited > MAX_STALL_SECONDS or self._seconds + waited > budget

    def watch(self, connection: socket.socket, ended: threading.Event) -> None:
        while not ended.wait(POLL_SECONDS):
            if self.is_too_slow(time.monotonic()):
                with suppress(OSError):  # The client has disconnected.
                    connection.shutdown(socket.SHUT_RDWR)
                return


class ClosableIterator(Protocol):
    """The pieces of a response; `close` releases their source."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...


class StartedStream:
    """The pieces of a response whose first one has been read.

    An error before the first piece gets a response of its own, so it is raised here, with the
    pieces closed. A later one is raised when the piece is read: the server then breaks the
    connection, and the client notices that the file is incomplete. `release` is called at the end,
    even if the client disconnects.
    """

    def __init__(self, chunks: ClosableIterator) -> None:
        self._chunks = chunks
        self.release: Callable[[], None] = lambda: None
        try:
            self._first: bytes | None = next(chunks)
        except BaseException:
            chunks.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if (first := self._first) is not None:
            self._first = None
            return first
        return next(self._chunks)

    def close(self) -> None:
        try:
            self._chunks.close()
        finally:
            self.release()


class PacedStream:
    """The pieces of a response, to a client that must keep to a least rate.

    The rate is `SCAIWAVE_DOWNLOAD_MIN_KIB_PER_SECOND`. `close` closes the pieces too.
    """

    def __init__(self, request: HttpRequest, chunks: ClosableIterator) -> None:
        self._chunks = chunks
        self._ended = threading.Event()
        self._rate = settings.CONFIG.get_int("SCAIWAVE_DOWNLOAD_MIN_KIB_PER_SECOND") * KIB
        self._pace = DownloadPace(self._rate)
        self._unwatched = request.META.get("gunicorn.socket")  # Other servers have none.

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._unwatched is not None and self._rate:
            arguments = (self._unwatched, self._ended)
            self._unwatched = None
            threading.Thread(
                target=self._pace.watch, args=arguments, name="download-pace", daemon=True
            ).start()
        self._pace.stop_sending()
        chunk = next(self._chunks)
        self._pace.start_sending(len(chunk))
        return chunk

    def close(self) -> None:
        self._ended.set()
        self._chunks.close()
