"""End uploads that are too slow.

A client that sends a byte now and then would otherwise occupy a thread of the server for days.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from scaiwave.web.api import RequestTooSlow

KIB = 1024
GRACE_SECONDS = 10.0
"""Before the rate counts: a connection starts slowly, and bytes are counted in blocks of 64 KiB."""

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class UploadPace:
    """What an upload must keep to; 0 means no limit."""

    min_bytes_per_second: int
    max_seconds: float

    def is_too_slow(self, *, seconds: float, size: int) -> bool:
        """Whether an upload is too slow that has sent `size` bytes in this time."""
        if self.max_seconds and seconds > self.max_seconds:
            return True
        return size < self.min_bytes_per_second * (seconds - GRACE_SECONDS)


class PaceWatch:
    """Watches one upload from a thread, because reading blocks while the client sends nothing."""

    def __init__(self, pace: UploadPace, count: Callable[[], int]) -> None:
        self._pace = pace
        self._count = count
        self._started_at = time.monotonic()
        self.is_exceeded = False

    def require_pace(self) -> None:
        """Raises `RequestTooSlow`. Call it after each read."""
        self._update()
        if self.is_exceeded:
            raise RequestTooSlow("The upload was too slow.")

    def watch(self, connection: socket.socket, ended: threading.Event) -> None:
        """Close the receiving side if the upload is too slow, so that the read returns."""
        while not ended.wait(POLL_SECONDS):
            self._update()
            if self.is_exceeded:
                with suppress(OSError):  # The client has disconnected.
                    connection.shutdown(socket.SHUT_RD)
                return

    def _update(self) -> None:
        seconds = time.monotonic() - self._started_at
        if self._pace.is_too_slow(seconds=seconds, size=self._count()):
            self.is_exceeded = True


def get_upload_pace() -> UploadPace:
    """Return the pace of large uploads."""
    config = settings.CONFIG
    return UploadPace(
        config.get_int("SCAIWAVE_UPLOAD_MIN_KIB_PER_SECOND") * KIB,
        config.get_int("SCAIWAVE_UPLOAD_MAX_SECONDS"),
    )


@contextmanager
def watch_pace(
    request: HttpRequest, count: Callable[[], int], pace: UploadPace
) -> Iterator[PaceWatch]:
    """Watch an upload; `count` returns the number of bytes read so far."""
    watch = PaceWatch(pace, count)
    connection = request.META.get("gunicorn.socket")  # Other servers have none.
    if connection is None:
        yield watch
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=watch.watch, args=(connection, ended), name="upload-pace", daemon=True
    )
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
