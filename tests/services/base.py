"""A server process: choose its port, wait for its start, and stop it."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

from tests.services.unprivileged_user import ServiceUnavailable

START_SECONDS = 120
STOP_SECONDS = 10
# The kernel takes the ports of outgoing connections from higher ones.
_PORTS = range(15_000, 32_000)


@dataclass(frozen=True)
class Server:
    name: str
    version: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals
    sockets: Sequence[Path] = ()
    """Those outside its directory, which remain when it is killed."""

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait for the start. Raises `ServiceUnavailable`, with the server's log, if it fails."""
        deadline = time.monotonic() + START_SECONDS
        try:
            while self.process.poll() is None and time.monotonic() < deadline:
                if is_ready():
                    return
                time.sleep(0.02)
        except BaseException:  # such as a signal
            self.stop()
            raise
        self.stop()
        log = self.log.read_text(encoding="utf-8", errors="replace")
        raise ServiceUnavailable(f"{self.name} {self.version} did not start:\n{log.strip()}")

    def stop(self) -> None:
        self._end_process()
        for path in self.sockets:
            path.unlink(missing_ok=True)

    def _end_process(self) -> None:
        for number in (self.stop_signal, signal.SIGQUIT, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def is_ready(url: str) -> bool:
    """Return whether the server answers, if only with an error.

    SeaweedFS knows its keys a moment later: tests create a bucket first, and wait for that.
    """
    try:
        with urllib.request.urlopen(url, timeout=30):  # noqa: S310 - it begins with http
            return True
    except HTTPError as error:
        error.close()
        return True
    except (URLError, OSError):
        return False


def choose_ports(number: int) -> list[int]:
    """Choose free ports. Those that the kernel chooses may be taken by a client's connection."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < number:
            candidate = random.choice(_PORTS)
            reserved = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                reserved.bind(("127.0.0.1", candidate))
                ports.append(candidate)
        return ports
