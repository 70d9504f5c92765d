"""The web server as it is run, registered with a server where people sign in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scaiwave.web.scaikey_sign_in import CALLBACK_PATH
from tests.scaiwave.cli_helpers import CHECKOUT

GUNICORN = ("-m", "gunicorn", "--workers=1", "--threads=4", "--graceful-timeout=1")


@contextmanager
def listen() -> Iterator[tuple[socket.socket, str]]:
    """Reserve an address for the server, which must be registered before it starts."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.set_inheritable(True)
        yield listener, f"http://localhost:{listener.getsockname()[1]}"


@contextmanager
def serve_site(
    listener: socket.socket, public_url: str, database_url: str, home: Path, **changes: str
) -> Iterator[None]:
    """Run the server. Its log is web.log in the home directory."""
    environment = {
        **os.environ,
        "SCAIWAVE_DB_URL": database_url,
        "SCAIWAVE_HOME": str(home),
        "SCAIWAVE_PUBLIC_URL": public_url,
        "SCAIWAVE_SCAIKEY_REDIRECT_URI": public_url + CALLBACK_PATH,
        "SCAIWAVE_PROFILE": "full",
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(home),
        "NO_PROXY": "localhost,127.0.0.1",
        **changes,
    }
    with (home / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *GUNICORN, f"--bind=fd://{listener.fileno()}", "scaiwave.wsgi"],
            env=environment,
            cwd=home,
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
    with process:
        try:
            yield
        finally:
            process.terminate()
