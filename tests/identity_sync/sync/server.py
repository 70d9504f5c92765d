"""A server of its own whose syncs are processes: its database, and ways to watch and stop them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.databases import RawDatabase
from tests.scaiwave.console import CHECKOUT, SCRIPT

TABLES = ("partners", "tenants", "participants", "groups", "group_memberships", "sync_changes")
PATIENCE = 30.0
"""Seconds."""


@dataclass(frozen=True)
class Server(RawDatabase):
    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(f"SELECT * FROM sw_{table} ORDER BY id") for table in TABLES}

    def runs(self) -> list[tuple[str, str]]:
        """(outcome, code) of each run, oldest first."""
        return self.rows("SELECT outcome, error_code FROM sw_sync_runs ORDER BY started_at")

    @contextmanager
    def syncing(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A sync that has written its row; killed if it is still there at the end."""
        before = len(self.runs())
        process = subprocess.Popen(
            [*SCRIPT, "sync", *words],
            env={**os.environ, **environment},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                wait_for(lambda: len(self.runs()) > before or process.poll() is not None)
                yield process
            finally:
                process.kill()


def wait_for(sign: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not sign():
        assert time.monotonic() < deadline
        time.sleep(0.02)
