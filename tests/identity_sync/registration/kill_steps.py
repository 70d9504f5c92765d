"""Register in child processes, each of which is killed at another step; run as a program.

    python -m tests.identity_sync.registration.kill_steps DIRECTORY URL [replace] [each]

With `replace` each server is registered before, and the process that is killed replaces its
credentials. Each home directory below DIRECTORY is a separate server. A step is a call of the
operating system that may change files, or an SQL statement. Before or after the first step of each
state that a process leaves to others, a process is killed (SIGKILL), then a second one runs the
command to its end; with `each`, that is done before and after each step. Prints one JSON line per
kill: the step, the home directory, whether the first process was killed, whether the second one
succeeded, and the settings that were configured between them.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import socket
import ssl
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import django

FILE_CALLS = (
    "open",
    "write",
    "pwrite",
    "ftruncate",
    "posix_fallocate",
    "fchmod",
    "fchown",
    "fsync",
    "fdatasync",
    "rename",
    "replace",
    "link",
    "unlink",
    "remove",
    "mkdir",
    "close",
)
FIELDS = ("number", "is_after")


@dataclass(frozen=True)
class Moment:
    """A moment at which a process can be killed."""

    number: int
    name: str
    is_after: bool


class Steps:
    """Count the steps of this process, and kill it before or after one of them."""

    def __init__(self, home: Path, kill_at: Moment | None) -> None:
        self.home = home
        self.kill_at = kill_at
        self.count = 0
        self.states: dict[Moment, str] = {}
        self.changes: Counter[str] = Counter()

    def run_step(self, name: str, call: Callable[[], Any]) -> Any:
        number, self.count = self.count, self.count + 1
        self.pass_by(Moment(number, name, is_after=False))
        try:
            return call()
        finally:
            self.changes["statements"] += name.startswith("SQL") and name != "SQL SELECT"
            self.pass_by(Moment(number, name, is_after=True))

    def pass_by(self, moment: Moment) -> None:
        if moment == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kill_at is None:
            self.states[moment] = self.describe_state()

    def describe_state(self) -> str:
        """Return what other processes find: files, what this one has written or sent."""
        from django.db import connection

        files = {
            str(path): (path.stat().st_mode, path.is_file() and path.read_bytes())
            for path in sorted(self.home.rglob("*"))
        }
        return repr((files, self.changes, connection.in_atomic_block))

    def patch(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def step(*args: Any, **options: Any) -> Any:
            return self.run_step(name, lambda: original(*args, **options))

        setattr(owner, name, step)

    def install(self) -> None:
        from django.db import connection

        for name in FILE_CALLS:
            if hasattr(os, name):
                self.patch(os, name)
        self.patch(fcntl, "flock")
        send = socket.socket.send

        def count_and_send(connected: socket.socket, *args: Any) -> int:
            self.changes["requests"] += 1
            return send(connected, *args)

        socket.socket.send = count_and_send  # type: ignore[assignment, method-assign]
        original_mmap = mmap.mmap
        steps = self

        class SteppedMmap(original_mmap):  # type: ignore[misc, valid-type]
            def flush(self, *args: Any) -> Any:
                return steps.run_step("msync", lambda: original_mmap.flush(self, *args))

        mmap.mmap = SteppedMmap  # type: ignore[misc]

        def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            return self.run_step(
                f"SQL {sql.partition(' ')[0]}", lambda: execute(sql, params, many, context)
            )

        connection.execute_wrappers.append(statement)


def run_register(home: Path, url: str, *, replace: bool = False) -> None:
    """Run `sync register` with every answer passed as a flag."""
    from tests.identity_sync.registration.helpers import ServerHome

    home.mkdir(mode=0o700, exist_ok=True)
    result = ServerHome(home, url).register(wait=5, replace_credentials=replace)
    if result.outcome not in {"registered", "already_registered"}:
        raise SystemExit(f"outcome {result.outcome}")


def run_in_child(action: Callable[[], None]) -> int:
    """Run an action in a forked process, and return its wait status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        except BaseException:  # noqa: BLE001 - a child must never return into the parent's code
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
    return os.waitpid(child, 0)[1]


def list_moments(home: Path, url: str, *, replace: bool, each: bool) -> list[Moment]:
    """Run the command, and return all moments of it, or the first one of each state."""
    file = home.with_suffix(".json")

    def record_steps() -> None:
        steps = Steps(home, None)
        steps.install()
        run_register(home, url, replace=replace)
        first = {state: moment for moment, state in reversed(steps.states.items())}
        moments = sorted(steps.states if each else first.values(), key=attrgetter(*FIELDS))
        file.write_text(json.dumps([asdict(moment) for moment in moments]))

    if replace:
        run_in_child(lambda: run_register(home, url))
    if run_in_child(record_steps) != 0:
        raise SystemExit("The run without a kill failed.")
    moments = [Moment(**row) for row in json.loads(file.read_text())]
    file.unlink()
    return moments


def delete_registrations() -> None:
    """Delete all rows, since the home directories share a database here, unlike in production."""
    from identity_sync.models import Registration

    Registration.objects.all().delete()


def warm_up(home: Path, url: str) -> None:
    """Import everything that a run needs before the first fork."""
    from django.db import connection

    run_register(home, url)
    delete_registrations()
    connection.close()


def read_configured(home: Path) -> dict[str, str]:
    from scaiwave.config.configuration import read_env_file

    return read_env_file(home / ".env")


def main(directory: Path, url: str, *, replace: bool, each: bool) -> None:
    django.setup()
    # Reading the certificates of the system takes most of the time of a run without encryption.
    context = ssl.create_default_context()
    ssl.create_default_context = lambda *args, **options: context
    warm_up(directory / "warm", url)
    moments = list_moments(directory / "counted", url, replace=replace, each=each)
    run_in_child(delete_registrations)
    for moment in moments:
        home = directory / f"{moment.number}-{'after' if moment.is_after else 'before'}"

        def run_until_killed(moment: Moment = moment, home: Path = home) -> None:
            Steps(home, moment).install()
            run_register(home, url, replace=replace)

        def run_again(home: Path = home) -> None:
            run_register(home, url)

        if replace:
            run_in_child(run_again)
        status = run_in_child(run_until_killed)
        configured = read_configured(home)
        resumed_status = run_in_child(run_again)
        line = {
            "step": f"{home.name} {moment.name}",
            "home": str(home),
            "killed": os.WIFSIGNALED(status),
            "resumed": resumed_status == 0,
            "configured": configured,
        }
        print(json.dumps(line), flush=True)  # noqa: T201
        run_in_child(delete_registrations)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[2],
        replace="replace" in sys.argv[3:],
        each="each" in sys.argv[3:],
    )
