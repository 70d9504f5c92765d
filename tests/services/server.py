"""A server process, and how its start is awaited and its end is made sure of."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.services.account import ServiceAbsent

START_SECONDS = 60
STOP_SECONDS = 10


@dataclass(frozen=True)
class Server:
    name: str
    version: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Raises `ServiceAbsent`, with what the server has logged, when it does not come up."""
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if answers():
                return
            time.sleep(0.02)
        self.stop()
        logged = self.log.read_text(encoding="utf-8", errors="replace")
        raise ServiceAbsent(f"{self.name} {self.version} did not start:\n{logged.strip()}")

    def stop(self) -> None:
        for number in (self.stop_signal, signal.SIGQUIT, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
