"""A web server that receives webhooks, and the processes that it starts for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx

from scaiwave.sandbox import Sandbox
from tests.databases import RawDatabase
from tests.identity_sync.webhooks.factories import PATH, SECRET, make_body, make_headers
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.tenants.fake_scaikey import get_credentials

WORKERS = 2
GUNICORN = (
    "-m",
    "gunicorn",
    f"--workers={WORKERS}",
    "--threads=4",
    "--graceful-timeout=1",
    "--no-control-socket",
)
_numbers = count()


@dataclass(frozen=True)
class LiveServer:
    """A running server; `home` is its home directory, `pid` that of gunicorn's main process."""

    base_url: str
    database: RawDatabase
    home: Path
    pid: int

    def deliver(self, event_type: str, key: str, event_id: str | None = None) -> httpx.Response:
        body = make_body(event_type, key, event_id or f"evt_live_{next(_numbers)}")
        return httpx.post(
            self.base_url + PATH, content=body, headers=make_headers(body), timeout=30
        )

    def states(self) -> list[str]:
        """The states of the events, oldest first."""
        sql = "SELECT state FROM sw_webhook_events ORDER BY received_at, id"
        return [row[0] for row in self.database.rows(sql)]

    def status_of(self, key: str) -> str:
        sql = f"SELECT scaikey_status FROM sw_participants WHERE scaikey_id = '{key}'"
        return str(self.database.rows(sql)[0][0])

    def runs(self) -> list[tuple[str, str]]:
        """Trigger and outcome of each run, in the order in which they ended."""
        sql = 'SELECT "trigger", outcome FROM sw_sync_runs ORDER BY ended_at'
        return [tuple(row) for row in self.database.rows(sql)]

    def processes(self) -> list[int]:
        """The processes that handle webhooks of this server."""
        return [pid for pid in _list_pids() if self._is_worker(pid)]

    def kill(self) -> None:
        """End the web server with all its workers, without a chance to clean up."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)

    def _is_worker(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        is_python = words[0] == sys.executable.encode()
        ours = f"SCAIWAVE_HOME={self.home}".encode() in environment
        return is_python and ours and b"process_webhooks" in words


def _list_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


@contextmanager
def serve(database_url: str, home: Path, sandbox: Sandbox, **changes: str) -> Iterator[LiveServer]:
    """Run a web server that is registered with the sandbox and has a webhook secret."""
    environment = {
        **os.environ,
        "SCAIWAVE_DB_URL": database_url,
        "SCAIWAVE_HOME": str(home),
        **get_credentials(sandbox),
        "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET": SECRET,
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(home),  # where gunicorn puts its control files
        **changes,
    }
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.set_inheritable(True)
        with (home / "web.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *GUNICORN, f"--bind=fd://{listener.fileno()}", "scaiwave.wsgi"],
                env=environment,
                cwd=home,
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = LiveServer(url, RawDatabase(database_url), home, process.pid)
        with process:
            try:
                yield server
            finally:
                process.terminate()
                for pid in server.processes():
                    os.kill(pid, signal.SIGKILL)
