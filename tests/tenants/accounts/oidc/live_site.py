"""The web server as it is run, registered with a server where people sign in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scaiwave.web.scaikey_sign_in import CALLBACK_PATH
from tests.web_process import build_environment, run_gunicorn


def get_url(listener: socket.socket) -> str:
    """Return the public address of the server, which must be registered before it starts."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serve_site(
    listener: socket.socket, database_url: str, home: Path, **changes: str
) -> Iterator[None]:
    """Run the server. Its log is web.log in the home directory."""
    environment = {
        **build_environment(database_url, home),
        "SCAIWAVE_PUBLIC_URL": get_url(listener),
        "SCAIWAVE_SCAIKEY_REDIRECT_URI": get_url(listener) + CALLBACK_PATH,
        "SCAIWAVE_PROFILE": "full",
        "NO_PROXY": "localhost,127.0.0.1",
        **changes,
    }
    with run_gunicorn(listener, environment, home / "web.log"):
        yield
