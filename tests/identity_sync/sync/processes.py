"""A server whose syncs are processes: its database, and how to watch and stop them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.databases import RawDatabase
from tests.scaiwave.cli_helpers import SCRIPT, start_process

TABLES = ("partners", "tenants", "participants", "groups", "group_memberships", "sync_changes")
MAX_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Server(RawDatabase):
    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(f"SELECT * FROM sw_{table} ORDER BY id") for table in TABLES}

    def runs(self) -> list[tuple[str, str]]:
        """Return (outcome, error code) of each run, oldest first."""
        return self.rows("SELECT outcome, error_code FROM sw_sync_runs ORDER BY started_at")

    @contextmanager
    def syncing(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Start a sync and wait for its row; kill it at the end if it is still running."""
        before = len(self.runs())
        with start_process([*SCRIPT, "sync", *words], **environment) as process:
            wait_for(lambda: len(self.runs()) > before or process.poll() is not None)
            yield process


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
