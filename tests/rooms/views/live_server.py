"""Run the production server (gunicorn) with its own database and a ScaiKey that signs tokens."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scaiwave.sandbox import Sandbox
from tests.web_process import TIMEOUT_SECONDS, build_environment, listen, run_gunicorn, run_python

MAX_WAIT_SECONDS = 10.0
"""How long `wait_until` waits."""
LIMIT_MB = 1

SampleIds = dict[str, dict[str, str]]
"""Ids by name, of rooms and of workspaces."""


@dataclass(frozen=True)
class LiveServer:
    """A running server. `rooms` and `workspaces` are ids by name."""

    url: str
    database_url: str
    home: Path
    environment: dict[str, str]
    sandbox: Sandbox
    pid: int
    rooms: dict[str, str]
    workspaces: dict[str, str]

    def token(self, name: str = "anna", **claims: Any) -> str:
        return self.sandbox.issue_token(**{"sub": f"usr_{name}", "tenant_id": "tnt_acme", **claims})

    def client(self, name: str = "anna", **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(name)}", **options.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, **options)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.get(self.url + path, headers=headers, timeout=TIMEOUT_SECONDS)

    def export_bundle(self, room: str = "lobby") -> bytes:
        with self.client() as client:
            response = client.get(f"/v1/rooms/{self.rooms[room]}/export")
        assert response.status_code == 200, response.text
        return response.content

    def send_raw(self, request: bytes) -> bytes:
        """Send these bytes and close the sending side; return the whole response."""
        address = httpx.URL(self.url)
        with socket.create_connection(
            (address.host, address.port), timeout=TIMEOUT_SECONDS
        ) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def count_rows(self, table: str) -> int:
        """Count the rows of a table through a direct connection."""
        with self.connect() as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(row[0])

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Yield a connection of the database's client library, in autocommit mode."""
        if self.database_url.startswith("sqlite"):
            path = self.database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                yield connection
            return
        import psycopg

        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    def run_python(self, code: str) -> Any:
        """Run code with the same database; return the value that it passes to `report`."""
        return run_python(code, self.environment)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    @property
    def temporary_files(self) -> list[str]:
        """Return named files, and unnamed ones that workers hold open.

        Leaves out the files by which gunicorn monitors its workers.
        """
        directory = self.home / "tmp"
        named = [str(path) for path in directory.iterdir()]
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        open_files = (path for child in children for path in Path(f"/proc/{child}/fd").iterdir())
        names = (*named, *map(_get_link_target, open_files))
        return [
            name for name in names if name.startswith(f"{directory}/") and "wgunicorn" not in name
        ]


def load_sample_data(database_url: str, home: Path) -> SampleIds:
    """Fill a migrated database and its media store with the sample data; return its ids."""
    environment = build_environment(database_url, home)
    code = (
        "from tests.rooms.views.sample_data import create_sample_data as create; report(create())"
    )
    sample_ids: SampleIds = run_python(code, environment)
    return sample_ids


@contextmanager
def serve(
    database_url: str, home: Path, sample_ids: SampleIds, *, workers: int = 1, **settings: str
) -> Iterator[LiveServer]:
    """Run a server with this database, which has the sample data of these ids."""
    with Sandbox(people=1, tenants=1) as sandbox, listen() as listener:
        environment = {**_build_server_environment(database_url, home, sandbox), **settings}
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with run_gunicorn(listener, environment, home / "log", workers) as pid:
            yield LiveServer(url, database_url, home, environment, sandbox, pid, **sample_ids)


def _get_link_target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed since the listing
        return ""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that the server does after its response has arrived."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _build_server_environment(database_url: str, home: Path, sandbox: Sandbox) -> dict[str, str]:
    (home / "tmp").mkdir()
    return {
        **build_environment(database_url, home),
        "TMPDIR": str(home / "tmp"),
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_IMPORT_LIMIT_MB": str(LIMIT_MB),
        "SCAIWAVE_TRANSFER_LIMIT": "0",
    }
