"""Register in child processes, each of which is killed at another step; run as a program.

    python -m tests.identity_sync.registration.kill_steps DIRECTORY URL [replace]

With `replace` each server is registered before, and the process that is killed replaces its
credentials. Each home directory below DIRECTORY is a separate server. A step is a call of the
operating system that changes files, or an SQL statement. For each step one process is killed
(SIGKILL) before it and one after it, then a second process runs the command to its end. Prints one
JSON line per kill: the step, the home directory, whether the first process was killed, whether the
second one succeeded, and the settings that were configured between them.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import ssl
import sys
import traceback
from collections.abc import Callable
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


class Steps:
    """Count the steps of this process, and kill it before or after one of them."""

    def __init__(self, kill_at: int | None, *, after: bool) -> None:
        self.kill_at = kill_at
        self.after = after
        self.names: list[str] = []

    def run_step(self, name: str, call: Callable[[], Any]) -> Any:
        self.names.append(name)
        is_target = len(self.names) - 1 == self.kill_at
        if is_target and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call()
        finally:
            if is_target:
                os.kill(os.getpid(), signal.SIGKILL)

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


def count_steps(home: Path, url: str, *, replace: bool) -> list[str]:
    names = home.with_suffix(".json")

    def record_steps() -> None:
        steps = Steps(None, after=False)
        steps.install()
        run_register(home, url, replace=replace)
        recorded = list(steps.names)
        names.write_text(json.dumps(recorded))

    if replace:
        run_in_child(lambda: run_register(home, url))
    if run_in_child(record_steps) != 0:
        raise SystemExit("The run without a kill failed.")
    result: list[str] = json.loads(names.read_text())
    names.unlink()
    return result


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


def main(directory: Path, url: str, *, replace: bool) -> None:
    django.setup()
    # Reading the certificates of the system takes most of the time of a run without encryption.
    context = ssl.create_default_context()
    ssl.create_default_context = lambda *args, **options: context
    warm_up(directory / "warm", url)
    steps = count_steps(directory / "counted", url, replace=replace)
    run_in_child(delete_registrations)
    for number, name in enumerate(steps):
        for after in (False, True):
            home = directory / f"{number}-{'after' if after else 'before'}"

            def run_until_killed(
                number: int = number, after: bool = after, home: Path = home
            ) -> None:
                Steps(number, after=after).install()
                run_register(home, url, replace=replace)

            def run_again(home: Path = home) -> None:
                run_register(home, url)

            if replace:
                run_in_child(run_again)
            status = run_in_child(run_until_killed)
            configured = read_configured(home)
            resumed_status = run_in_child(run_again)
            line = {
                "step": f"{number} {name}",
                "home": str(home),
                "killed": os.WIFSIGNALED(status),
                "resumed": resumed_status == 0,
                "configured": configured,
            }
            print(json.dumps(line), flush=True)  # noqa: T201
            run_in_child(delete_registrations)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], replace="replace" in sys.argv[3:])
