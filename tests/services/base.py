"""A server process: wait for its start, and stop it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.unprivileged_user import ServiceUnavailable

START_SECONDS = 120
STOP_SECONDS = 10


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
