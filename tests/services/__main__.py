"""`python -m tests.services [--fast | --all | --night PART] [arguments of pytest]`: run pytest for
each database.

`scripts/test` calls it after creating the virtual environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from tests.services import clock, night
from tests.services.manager import Service, ServiceManager, manage_service
from tests.services.unprivileged_user import ServiceUnavailable, choose_parent

_OFTEN_NEEDED = ("postgres", "redis")
_SELDOM_NEEDED = ("seaweedfs", "rclone")
_NEEDED_BY_CI = ("oidc_provider",)
_NIGHTLY = "the nightly run tries more examples and larger files, and each test on both databases."
_LEFT_OUT = {
    "half": "Left out: `.ci/run` tests releases, the upgrade, a whole server, benchmarks, others' "
    f"programs and the other pages in a browser; {_NIGHTLY}",
    "half-and-ci": f"Left out: {_NIGHTLY}",
    "swapped-and-ci": f"Left out: {_NIGHTLY}",
    "other-half": f"Left out: all but a few tests that depend on versions; {_NIGHTLY}",
}
"""What a run does not test, by the value of SCAIWAVE_TEST_PAIRS."""
_SUCCESS_CODES = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclass(frozen=True)
class TestRun:
    database: str
    outcome: str
    exit_code: int
    seconds: float = 0.0
    not_tested: str = ""
    """Lines about what this host lacks."""

    def __str__(self) -> str:
        return f"{self.database}: {self.outcome}" + (
            f" in {self.seconds:.1f} s" if self.seconds else ""
        )


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, _exit_on_signal)
    part = None
    if arguments[:1] == ["--night"]:
        part = night.PARTS.get("".join(arguments[1:2]))
        if part is None:
            _print_line("\n".join(night.list_parts()))
            return 2
        os.environ.update({**part.settings, **os.environ})
        arguments = [*_PARALLEL, str(_PROCESSES), *part.list_arguments(), *arguments[2:]]
    modes = {"--fast", "--all"}.intersection(arguments)
    arguments = [argument for argument in arguments if argument not in modes]
    _shift_clock()
    if "--all" in modes:
        os.environ["SCAIWAVE_TEST_PAIRS"] = "all"
    if "--fast" in modes:
        os.environ["SCAIWAVE_TEST_FAST"] = "1"
        arguments = arguments or [*_PARALLEL, str(_CORES)]
        run = _run_pytest("SQLite, only fast tests", {}, arguments)
        _print_line(f"\n{run}\n{run.not_tested}".rstrip())
        return run.exit_code
    return _test_databases(arguments, part)


def _test_databases(arguments: list[str], part: night.Part | None) -> int:
    started = time.monotonic()
    is_whole = not (part.paths if part else arguments)
    with ExitStack() as stack:
        # All servers start at the same time. Selected tests start those that few tests need.
        kinds: tuple[str, ...] = _OFTEN_NEEDED
        if is_whole:
            kinds += _SELDOM_NEEDED
        if is_whole and "SCAIWAVE_TEST_PAIRS" in os.environ:
            kinds += _NEEDED_BY_CI
        managers = {kind: stack.enter_context(manage_service(kind)) for kind in kinds}
        services, absent = _wait_for_services(managers)
        for reason in absent:
            _print_line(f"Not available: {reason}")
        if absent and os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1":
            _print_line("SCAIWAVE_REQUIRE_SERVICES=1 makes this a failure.")
            return 1
        runs = list(_run_tests(services, arguments))
    _print_line("")
    for run in runs:
        _print_line(f"{run}\n{run.not_tested}".rstrip())
    if left_out := _LEFT_OUT.get(os.environ.get("SCAIWAVE_TEST_PAIRS", "")):
        _print_line(left_out)
    _print_line(f"Total: {time.monotonic() - started:.1f} s")
    if not runs:
        _print_line("No tests were run: SCAIWAVE_TEST_DATABASES must name sqlite or postgresql.")
    if part and not any(run.outcome == "passed" or run.exit_code for run in runs):
        _print_line("FAILED: the part has no tests.")
        return 1
    return max((run.exit_code for run in runs), default=2)


def _shift_clock() -> None:
    """End this process if the tests can't run with the clock of SCAIWAVE_TEST_CLOCK."""
    if clock.SETTING not in os.environ:
        return
    try:
        _print_line(clock.shift_clock())
    except ValueError as error:
        _print_line(str(error))
        sys.exit(2)
    except clock.LibraryNotFound as error:
        _print_line(f"SKIPPED: {error}")
        sys.exit(os.environ.get("SCAIWAVE_REQUIRE_SERVICES") == "1")


def _wait_for_services(managers: dict[str, ServiceManager]) -> tuple[dict[str, Service], list[str]]:
    services, absent = {}, []
    for kind, manager in managers.items():
        try:
            services[kind] = manager.wait_for_service()
        except ServiceUnavailable as error:
            absent.append(str(error))
    return services, absent


def _run_tests(services: dict[str, Service], arguments: list[str]) -> Iterator[TestRun]:
    """Run the tests on each selected database.

    All tests are divided between two databases, so that each runs once, and both run at the same
    time: one of them alone leaves a third of two cores idle. Selected tests run on one after the
    other, unless the run before was interrupted.
    """
    databases = os.environ.get("SCAIWAVE_TEST_DATABASES", "sqlite,postgresql").split(",")
    if len(databases) == 2 and "postgres" in services and not arguments:
        os.environ.setdefault("SCAIWAVE_TEST_PAIRS", "half")
    shared = {
        f"SCAIWAVE_TEST_{kind.upper()}_URL": service.url for kind, service in services.items()
    }
    chosen = [("SQLite", shared)] if "sqlite" in databases else []
    postgres = services.get("postgres")
    if "postgresql" in databases and postgres is not None:
        settings = {**shared, "SCAIWAVE_TEST_DB_URL": postgres.url}
        chosen.append((f"{postgres.name} {postgres.version}", settings))
    if arguments or len(chosen) < 2:
        for name, settings in chosen:
            run = _run_pytest(name, settings, arguments)
            yield run
            if run.exit_code == pytest.ExitCode.INTERRUPTED:
                return
    else:
        yield from _run_side_by_side(chosen)
    if "postgresql" in databases and postgres is None:
        yield TestRun("PostgreSQL", "SKIPPED, no server is available", 0)


def _run_side_by_side(chosen: list[tuple[str, dict[str, str]]]) -> Generator[TestRun]:
    """The first run prints as it goes, and the others when it has ended."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                _start_pytest(name, settings, [*_PARALLEL, str(_CORES)], is_captured=place > 0)
            )
            for place, (name, settings) in enumerate(chosen)
        ]
        for finish in started:
            yield finish()


_PYTEST = (sys.executable, "-m", "pytest", "--lfnf=none")
# All tests are run by one process more than there are cores, since many tests wait for processes
# that they have started, which the fast ones and a few of each file don't. The tests of one file
# share its servers. Two runs at the same time have two processes a core.
# Selected tests run in one process, so that a debugger can be used.
_CORES = os.cpu_count() or 1
_PROCESSES = _CORES + (os.environ.get("SCAIWAVE_TEST_FEW") != "1")
_PARALLEL = (
    *("--durations=25", "--durations-min=3"),
    *("--dist", "loadfile", "--no-loadscope-reorder", "-n"),
)


def _run_pytest(database: str, settings: dict[str, str], arguments: list[str]) -> TestRun:
    # In parallel, pytest reports such a path only as "no tests ran", which passes here.
    paths = [text.partition("::")[0] for text in arguments if text.startswith("tests/")]
    if missing := [path for path in paths if not Path(path).exists()]:
        outcome = f"FAILED, no such file or directory: {', '.join(missing)}"
        return TestRun(database, outcome, pytest.ExitCode.USAGE_ERROR)
    arguments = arguments or [*_PARALLEL, str(_PROCESSES)]
    with _start_pytest(database, settings, arguments) as finish:
        return finish()


@contextmanager
def _start_pytest(
    database: str, settings: dict[str, str], arguments: list[str], *, is_captured: bool = False
) -> Iterator[Callable[[], TestRun]]:
    """Yield what waits for the end of the tests. Captured output is printed in any case."""
    started, parent = time.monotonic(), str(choose_parent())
    if not is_captured:
        _print_line(f"\n### Tests on {database}")
    # What --lf repeats. Two runs at the same time would write one file.
    cache = f"cache_dir=.pytest_cache/{database.partition(' ')[0].rstrip(',')}"
    # pytest's own directory has the same name for all runs of a user, and one run would delete
    # that of another.
    with tempfile.TemporaryDirectory(prefix="sw-pytest-", dir=parent) as directory:
        file, printed = Path(directory, "not-tested"), Path(directory, "output")
        output = printed.open("wb") if is_captured else None
        process = subprocess.Popen(
            [*_PYTEST, f"--basetemp={directory}/tests", "-o", cache, *arguments],
            env={"TMPDIR": parent, **os.environ, **settings, "SCAIWAVE_TEST_NOT_TESTED": str(file)},
            stdout=output,
            stderr=output and subprocess.STDOUT,
        )

        def finish() -> TestRun:
            exit_code = _wait_for_exit(process)
            seconds = time.monotonic() - started
            not_tested = file.read_text(encoding="utf-8") if file.exists() else ""
            if exit_code in _SUCCESS_CODES:
                outcome = "passed" if exit_code == 0 else "no tests selected"
                return TestRun(database, outcome, 0, seconds, not_tested)
            outcome = f"FAILED (pytest ended with {exit_code})"
            return TestRun(database, outcome, abs(exit_code), seconds, not_tested)

        try:
            yield finish
        finally:
            process.terminate()
            process.wait()
            if output:
                output.close()
                text = printed.read_text(encoding="utf-8", errors="replace")
                _print_line(f"\n### Tests on {database}\n{text}")


def _wait_for_exit(process: subprocess.Popen[bytes]) -> int:
    """Return pytest's exit code. pytest also gets an interrupt, and is given time to clean up."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _print_line(line: str) -> None:
    """Print without buffering, since pytest writes to the same output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
