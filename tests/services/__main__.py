"""`python -m tests.services [arguments of pytest]`: pytest once for each database.

What `scripts/test` calls once its virtual environment is there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType

import pytest

from tests.services.account import ServiceAbsent
from tests.services.keeper import Keeping, Service, keeping

_FINE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclass(frozen=True)
class Run:
    database: str
    outcome: str
    exit_code: int
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.database}: {self.outcome}" + (
            f" in {self.seconds:.1f} s" if self.seconds else ""
        )


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as stack:
        # Both come up at the same time.
        keepers = {kind: stack.enter_context(keeping(kind)) for kind in ("postgres", "redis")}
        services, absent = _wait_for(keepers)
        for reason in absent:
            _say(f"Not to be had: {reason}")
        if absent and os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1":
            _say("SCAIWAVE_REQUIRE_SERVICES=1, so that is a failure.")
            return 1
        runs = list(_runs(services, arguments))
    _say("")
    for run in runs:
        _say(str(run))
    _say(f"Total: {time.monotonic() - began:.1f} s")
    if not runs:
        _say("SCAIWAVE_TEST_DATABASES names neither sqlite nor postgresql, so nothing was tested.")
    return max((run.exit_code for run in runs), default=2)


def _wait_for(keepers: dict[str, Keeping]) -> tuple[dict[str, Service], list[str]]:
    services, absent = {}, []
    for kind, keeper in keepers.items():
        try:
            services[kind] = keeper.service()
        except ServiceAbsent as error:
            absent.append(str(error))
    return services, absent


def _runs(services: dict[str, Service], arguments: list[str]) -> Iterator[Run]:
    """One run for each database that is asked for, unless the one before was interrupted."""
    wanted = os.environ.get("SCAIWAVE_TEST_DATABASES", "sqlite,postgresql").split(",")
    shared = {f"SCAIWAVE_TEST_{kind.upper()}_URL": found.url for kind, found in services.items()}
    if "sqlite" in wanted:
        first = _run("SQLite", shared, arguments)
        yield first
        if first.exit_code == pytest.ExitCode.INTERRUPTED:
            return
    postgres = services.get("postgres")
    if "postgresql" in wanted and postgres is None:
        yield Run("PostgreSQL", "SKIPPED, since there is none", 0)
    elif "postgresql" in wanted and postgres is not None:
        settings = {**shared, "SCAIWAVE_TEST_DB_URL": postgres.url}
        yield _run(f"{postgres.name} {postgres.version}", settings, arguments)


# Everything is run by one process more than there are cores, since many tests wait for processes
# that they have started. The tests of one file share its servers, and a chosen few are wanted in
# one process, where a debugger reaches them.
_ALL = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile")


def _run(database: str, settings: dict[str, str], arguments: list[str]) -> Run:
    _say(f"\n### Tests on {database}")
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *(arguments or _ALL)], env={**os.environ, **settings}
    )
    exit_code = _wait(process)
    seconds = time.monotonic() - began
    if exit_code in _FINE:
        outcome = "passed" if exit_code == 0 else "no test chosen"
        return Run(database, outcome, 0, seconds)
    return Run(database, f"FAILED (pytest ended with {exit_code})", abs(exit_code), seconds)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """pytest's exit code. An interrupt reaches pytest by itself; it is given time to tidy up."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
        except SystemExit:
            process.terminate()
            process.wait()
            raise


def _say(line: str) -> None:
    """At once, since pytest writes to the same place."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
