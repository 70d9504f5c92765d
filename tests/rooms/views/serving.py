"""The production server, gunicorn, over a database of its own, and a ScaiKey that signs tokens."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scaiwave.sandbox import Sandbox
from tests.environment import own_settings
from tests.scaiwave.console import CHECKOUT

GUNICORN = (
    "-m",
    "gunicorn",
    "--workers=1",
    "--threads=4",
    "--graceful-timeout=1",
    "--no-control-socket",
)
SECONDS = 60
SOON = 10.0
"""Seconds after which what should have happened soon has not."""
LIMIT_MB = 1


Filled = dict[str, dict[str, str]]
"""Ids by name, of rooms and of workspaces."""


@dataclass(frozen=True)
class Served:
    """A running server. `people` are ScaiKey ids by name; `rooms` and `workspaces` are ids."""

    url: str
    database_url: str
    home: Path
    environment: dict[str, str]
    sandbox: Sandbox
    pid: int
    rooms: dict[str, str]
    workspaces: dict[str, str]

    def token(self, name: str = "anna", **claims: Any) -> str:
        return self.sandbox.mint(**{"sub": f"usr_{name}", "tenant_id": "tnt_acme", **claims})

    def client(self, name: str = "anna", **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(name)}", **options.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=SECONDS, **options)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.get(self.url + path, headers=headers, timeout=SECONDS)

    def bundle(self, room: str = "lobby") -> bytes:
        with self.client() as client:
            answer = client.get(f"/v1/rooms/{self.rooms[room]}/export")
        assert answer.status_code == 200, answer.text
        return answer.content

    def raw(self, sent: bytes) -> bytes:
        """All that is answered to these bytes, after which nothing more is sent."""
        address = httpx.URL(self.url)
        with socket.create_connection((address.host, address.port), timeout=SECONDS) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def count(self, table: str) -> int:
        """Rows of a table, without a process for it."""
        with self.connected() as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(row[0])

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection of the database's own client library, each statement for itself."""
        if self.database_url.startswith("sqlite"):
            path = self.database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                yield connection
            return
        import psycopg

        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    def ask(self, code: str) -> Any:
        """What Python prints as JSON that runs over the same database."""
        return _python(code, self.environment)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    @property
    def temporary_files(self) -> list[str]:
        """Those with a name, and those that the workers hold open without one, but for what
        gunicorn sees its workers live by."""
        folder = self.home / "tmp"
        named = [str(path) for path in folder.iterdir()]
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        held = (path for child in children for path in Path(f"/proc/{child}/fd").iterdir())
        names = (*named, *map(_target, held))
        return [name for name in names if name.startswith(f"{folder}/") and "wgunicorn" not in name]


def filled(database_url: str, home: Path) -> Filled:
    """Fill a migrated database with what `filling` makes, and its media store; tells the ids."""
    environment = {**_inherited(database_url, home), "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    made: Filled = _python("from tests.rooms.views.filling import fill; tell(fill())", environment)
    return made


@contextmanager
def served(database_url: str, home: Path, made: Filled) -> Iterator[Served]:
    """A server over this database, which has what `filled` has told."""
    with Sandbox(people=1, tenants=1) as sandbox, _listening() as listener:
        environment = _environment(database_url, home, sandbox)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with _gunicorn(listener, environment, home / "log") as pid:
            yield Served(url, database_url, home, environment, sandbox, pid, **made)


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed since it was listed
        return ""


def eventually(is_so: Callable[[], bool]) -> None:
    """For what the server does after its answer has arrived."""
    until = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def _inherited(database_url: str, home: Path) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if name[:9] != "SCAIWAVE_"}
    return {**inherited, **own_settings(home), "SCAIWAVE_DB_URL": database_url}


def _environment(database_url: str, home: Path, sandbox: Sandbox) -> dict[str, str]:
    (home / "tmp").mkdir()
    return {
        **_inherited(database_url, home),
        "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(home),  # where gunicorn puts what it is controlled by
        "TMPDIR": str(home / "tmp"),
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_IMPORT_LIMIT_MB": str(LIMIT_MB),
    }


@contextmanager
def _listening() -> Iterator[socket.socket]:
    """Whoever connects before the server is up waits for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.set_inheritable(True)
        yield listener


@contextmanager
def _gunicorn(listener: socket.socket, environment: dict[str, str], log: Path) -> Iterator[int]:
    bind = f"--bind=fd://{listener.fileno()}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *GUNICORN, bind, "scaiwave.wsgi"],
            env=environment,
            cwd=log.parent,
            pass_fds=[listener.fileno()],
            stdout=file,
            stderr=file,
        )
        with process:
            try:
                yield process.pid
            finally:
                process.terminate()


def _python(code: str, environment: dict[str, str]) -> Any:
    begin = "import django; django.setup(); from scaiwave.console.output import to_json\n"
    begin += "tell = lambda value: print(to_json(value, indent=None))\n"
    ended = subprocess.run(
        [sys.executable, "-c", begin + code],
        env=environment,
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    return json.loads(ended.stdout)
