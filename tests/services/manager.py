"""The manager process of a server.

A manager starts one server, prints the result as one line of JSON, and then waits for the end of
its standard input. Only the process that asked for the server holds the other end, so the input
ends when that process closes it, exits, or is killed. No signal is needed to stop the server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from tests.services.base import Server
from tests.services.oidc import start_oidc_provider
from tests.services.postgres import start_postgres
from tests.services.redis import start_redis
from tests.services.s3 import start_rclone, start_seaweedfs
from tests.services.unprivileged_user import (
    ServiceUnavailable,
    ServiceUser,
    choose_parent,
    make_directory,
    remove_directory,
)

STARTERS: Mapping[str, Callable[[Path, ServiceUser], Server]] = {
    "postgres": start_postgres,
    "redis": start_redis,
    "seaweedfs": start_seaweedfs,
    "small-seaweedfs": partial(start_seaweedfs, is_small=True),
    "rclone": start_rclone,
    "oidc_provider": start_oidc_provider,
}
_TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """A running server."""

    name: str
    version: str
    url: str


class ServiceManager:
    """A manager process. The server starts while the caller does something else."""

    def __init__(self, kind: str, parent: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.manager", kind, str(parent)],
            cwd=_TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt from the keyboard must reach only the caller
        )

    def wait_for_service(self) -> Service:
        """Wait for the server, and return it. Raises `ServiceUnavailable`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ServiceUnavailable("The server's manager process failed; see its message above.")
        answer = json.loads(line)
        if "absent" in answer:
            raise ServiceUnavailable(answer["absent"])
        return Service(**answer)

    def close(self) -> None:
        """Stop the server, and wait for the end of the manager."""
        self._process.communicate()


@contextmanager
def manage_service(kind: str, parent: Path | None = None) -> Iterator[ServiceManager]:
    """Manage a server whose directory is in `parent`, by default where it is fastest."""
    manager = ServiceManager(kind, parent or choose_parent())
    try:
        yield manager
    finally:
        manager.close()


def _run_manager(kind: str, parent: Path) -> None:
    """Run as the manager process."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    signal.signal(signal.SIGHUP, _exit_on_signal)
    directory = None
    server = None
    try:
        user = ServiceUser.choose_unprivileged() if kind == "postgres" else ServiceUser()
        directory = make_directory(user, parent)
        server = STARTERS[kind](directory, user.ending_with_parent())
        _print_answer({"name": server.name, "version": server.version, "url": server.url})
        while os.read(0, 4096):
            pass
    except ServiceUnavailable as error:
        _print_answer({"absent": str(error)})
    finally:
        if server is not None:
            server.stop()
        if directory is not None:
            remove_directory(directory)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _print_answer(answer: dict[str, str]) -> None:
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The caller has ended already. Without this, Python reports the error again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    _run_manager(sys.argv[1], Path(sys.argv[2]))
