"""Run the production server (gunicorn) and other processes with a home directory of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.scaiwave.cli_helpers import CHECKOUT
from tests.settings_env import own_settings

GUNICORN = (
    "-m",
    "gunicorn",
    "--config=python:scaiwave.web.gunicorn_config",
    "--graceful-timeout=1",
)
TIMEOUT_SECONDS = 60


def build_environment(database_url: str, home: Path) -> dict[str, str]:
    """Return the environment of a process that imports the suite from the checkout."""
    inherited = {name: value for name, value in os.environ.items() if name[:9] != "SCAIWAVE_"}
    return {
        **inherited,
        **own_settings(home),
        "SCAIWAVE_DB_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(home),  # where gunicorn puts its control files
    }


@contextmanager
def listen() -> Iterator[socket.socket]:
    """Open the socket first, so that clients can connect before the server has started."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.set_inheritable(True)
        yield listener


@contextmanager
def run_gunicorn(
    listener: socket.socket,
    environment: dict[str, str],
    log: Path,
    workers: int = 1,
    threads: int = 8,
    launcher: Sequence[str] = (),
) -> Iterator[int]:
    """Yield the process id of gunicorn, which serves the connections of this socket.

    `launcher` is a command that becomes the one that follows it.
    """
    options = (
        f"--bind=fd://{listener.fileno()}",
        f"--workers={workers}",
        f"--threads={threads}",
    )
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*launcher, sys.executable, *GUNICORN, *options],
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


@contextmanager
def run_scheduler(environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        command = [sys.executable, "-m", "scaiwave.cli", "scheduler"]
        with subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
            try:
                yield
            finally:
                process.terminate()


def run_python(code: str, environment: dict[str, str], timeout: float = TIMEOUT_SECONDS) -> Any:
    """Run code after `django.setup()`; return the value that it passes to `report`."""
    setup = "import django; django.setup(); from scaiwave.console.output import to_json\n"
    setup += "report = lambda value: print(to_json(value, indent=None))\n"
    process = subprocess.run(
        [sys.executable, "-c", setup + code],
        env=environment,
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.PIPE,
        timeout=timeout,
    )
    return json.loads(process.stdout)
