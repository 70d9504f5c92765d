"""The process a server belongs to, and how to ask for one.

A keeper starts one server, prints what came of it as one line of JSON, and then waits for the end
of its standard input. Only the process that asked holds the other end, so the end comes when that
process closes it, exits, or is killed; no signal has to arrive for the server to go away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.services.account import Account, ServiceAbsent, make_folder, remove_folder
from tests.services.postgres import start_postgres
from tests.services.redis import start_redis

STARTERS = {"postgres": start_postgres, "redis": start_redis}
_TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """A server that runs for us."""

    name: str
    version: str
    url: str


class Keeping:
    """A keeper that was started. The server comes up while the caller does something else."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.keeper", kind],
            cwd=_TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt from the keyboard is for the caller alone
        )

    def service(self) -> Service:
        """Waits for the server. Raises `ServiceAbsent`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ServiceAbsent("The process that keeps the server failed; see its message above.")
        answer = json.loads(line)
        if "absent" in answer:
            raise ServiceAbsent(answer["absent"])
        return Service(**answer)

    def close(self) -> None:
        """Ends the server and waits until it is gone."""
        self._process.communicate()


@contextmanager
def keeping(kind: str) -> Iterator[Keeping]:
    keeper = Keeping(kind)
    try:
        yield keeper
    finally:
        keeper.close()


def _keep(kind: str) -> None:
    """The life of a keeper."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    folder = None
    server = None
    try:
        account = Account.unprivileged() if kind == "postgres" else Account()
        folder = make_folder(account)
        server = STARTERS[kind](folder, account)
        _print({"name": server.name, "version": server.version, "url": server.url})
        while os.read(0, 4096):
            pass
    except ServiceAbsent as error:
        _print({"absent": str(error)})
    finally:
        if server is not None:
            server.stop()
        if folder is not None:
            remove_folder(folder)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _print(answer: dict[str, str]) -> None:
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever asked is gone already. Python would complain again when it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    _keep(sys.argv[1])
