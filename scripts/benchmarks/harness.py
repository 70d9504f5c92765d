"""Run a benchmark on its databases: options, homes with a migrated database, ratios and tables."""

from __future__ import annotations

import argparse
import base64
import functools
import importlib
import json
import os
import platform
import secrets
import signal
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from scripts.benchmarks.processes import BenchmarkError, Run, time_pipeline, time_scaiwave
from tests.services.manager import manage_service
from tests.services.unprivileged_user import DISK, ServiceUnavailable

if TYPE_CHECKING:
    from scaiwave.sandbox import Sandbox

MIB = 1024 * 1024
POSTGRES_URL = "SCAIWAVE_BENCH_POSTGRES_URL"
SQLITE_FILE = "scaiwave.sqlite3"
TENANT = WORKSPACE = "bench"
RUN_TITLES = (
    *("seconds", "per second", "divided by", "ratio", "range", "target", "CPU s", "peak MB"),
)
"""Medians, the lowest and the highest ratio, and the highest memory use."""
_OWN_PREFIXES = ("SCAIWAVE_", "DJANGO_", "PG")


@dataclass(frozen=True)
class Database:
    """A database to measure on; `server` is the URL of its server, empty for SQLite."""

    name: str
    version: str
    server: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


def run_benchmark(name: str, words: Sequence[str]) -> int:
    """Measure on each chosen database, and return the exit code.

    Options are checked and servers started first: a missing one is not reported after an hour.
    """
    benchmark: Any = importlib.import_module(f"scripts.benchmarks.{name}")
    parser = _build_parser(name, benchmark)
    options = parser.parse_args(words)
    check_options = getattr(benchmark, "check_options", lambda options: None)
    choose_database = getattr(benchmark, "choose_database", lambda options: options.database)
    signal.signal(signal.SIGTERM, _leave)
    report = []
    try:
        check_options(options)
        with ExitStack() as stack:
            for database in list(_open_databases(choose_database(options), stack)):
                print(f"\n{_describe_host(database)}", flush=True)
                report.append(_measure(benchmark, database, options))
    except (ServiceUnavailable, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    if notes := getattr(benchmark, "NOTES", ""):
        print(f"\n{notes}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str:
        has_default = action.default not in (None, False, argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if has_default else f"{action.help}"


def _build_parser(name: str, benchmark: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {name}",
        description=benchmark.__doc__,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    if hasattr(benchmark, "add_options"):
        benchmark.add_options(add)
    if hasattr(benchmark, "EVENTS"):
        add("--events", type=parse_numbers, default=benchmark.EVENTS, help="numbers of events")
        add("--repeat", type=int, default=3, help="runs of each, one of each kind after the other")
    if not hasattr(benchmark, "choose_database"):
        databases = ("sqlite", "postgresql", "both")
        add("--database", choices=databases, default="both", help="databases")
    add("--json", type=Path, metavar="FILE", help="also write every run to FILE")
    return parser


def _measure(benchmark: Any, database: Database, options: argparse.Namespace) -> Any:
    """Measure once, or once for each number of events if the benchmark is about these alone."""
    if hasattr(benchmark, "add_options"):
        return benchmark.measure(database, options)
    blocks = []
    for events in options.events:
        heading = f"{database.title}, {events:,} events"
        result = benchmark.measure(database, events, options.repeat, heading)
        blocks.append({"events": events, **result})
    return {"database": database.title, "blocks": blocks}


def parse_numbers(text: str) -> list[int]:
    """Parse the value of an option such as `10000,100000`."""
    return [int(part) for part in text.split(",") if part]


def _leave(number: int, frame: FrameType | None) -> None:
    """End this process on SIGTERM through its finally blocks, which stop the servers."""
    sys.exit(128 + number)


def _open_databases(choice: str, stack: ExitStack) -> Iterator[Database]:
    """Yield the chosen database, or both.

    A PostgreSQL that is not given by SCAIWAVE_BENCH_POSTGRES_URL is a temporary one that does not
    wait for the disk (`fsync` is off). Raises `ServiceUnavailable` if it can't be started.
    """
    if choice != "postgresql":
        yield Database("SQLite", sqlite3.sqlite_version)
    if choice == "sqlite":
        return
    if url := os.environ.get(POSTGRES_URL):
        yield Database("PostgreSQL", _get_version(url), url)
        return
    service = stack.enter_context(manage_service("postgres", DISK)).wait_for_service()
    yield Database(service.name, service.version, service.url)


def _get_version(url: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        # Distributions append the name of their package.
        return (connection.info.parameter_status("server_version") or "?").partition(" ")[0]


def _describe_host(database: Database) -> str:
    """Return the lines above a table: the date, the host and the versions."""
    now = datetime.now().astimezone()
    return (
        f"{now:%Y-%m-%d %H:%M %Z}, {platform.system()} {platform.machine()}, {_get_processor()}, "
        f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}\n"
        f"Python {platform.python_version()}, Django {version('django')}, {database.title}"
    )


def _get_processor() -> str:
    """Return the kernel's name of the processor, since Python's own is empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown processor"


@contextmanager
def empty_home(database: Database) -> Iterator[dict[str, str]]:
    """Yield the environment of a server with an empty, migrated database.

    Both are removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as home:
        environment = _build_environment(Path(home))
        if database.server:
            with _new_database(database.server) as url:
                environment["SCAIWAVE_DB_URL"] = url
                _migrate(environment)
                yield environment
        else:
            file = Path(home) / SQLITE_FILE
            file.touch(0o600)
            file.write_bytes(_read_migrated_file())
            yield environment


@contextmanager
def empty_database(database: Database, directory: Path) -> Iterator[str]:
    """Yield the URL of a database without tables, of SQLite as a new file in the directory."""
    if database.server:
        with _new_database(database.server) as url:
            yield url
    else:
        yield f"sqlite:///{directory}/empty.sqlite3"


@functools.cache
def _read_migrated_file() -> bytes:
    """Migrate an SQLite database, which takes seconds, once for all homes of this process."""
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as home:
        _migrate(_build_environment(Path(home)))
        return (Path(home) / SQLITE_FILE).read_bytes()


def _build_environment(home: Path) -> dict[str, str]:
    """Return this process's environment without the settings of a real server."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES)
    }
    return inherited | {
        "NO_PROXY": "127.0.0.1",
        "SCAIWAVE_HOME": str(home),
        "SCAIWAVE_PROFILE": "cli",
        "SCAIWAVE_SECRET_KEY": secrets.token_urlsafe(48),
        "SCAIWAVE_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
    # The full profile has all apps, and so all migrations.
    time_pipeline(command, environment={**environment, "SCAIWAVE_PROFILE": "full"})


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    import psycopg

    name = f"bench_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def connect(environment: dict[str, str]) -> Iterator[Any]:
    """Yield a connection of the driver in autocommit mode."""
    if url := environment.get("SCAIWAVE_DB_URL"):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
        return
    path = Path(environment["SCAIWAVE_HOME"]) / SQLITE_FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")  # as in the suite's settings
        yield connection


def seed_rooms(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """Create rooms with sample data in the tenant `bench`; return the command's JSON document."""
    command = ("manage", "seed_rooms", "--tenant", TENANT, "--workspace", WORKSPACE, "--json")
    with tempfile.NamedTemporaryFile() as answer:
        time_scaiwave(*command, *words, environment=environment, target=Path(answer.name))
        document: dict[str, Any] = json.load(answer)
    return document


def seed_room(environment: dict[str, str], *words: str) -> str:
    """Return the ID of the only room."""
    return str(seed_rooms(environment, *words)["rooms"][0]["id"])


def prepare_import(environment: dict[str, str]) -> Callable[..., Run]:
    """Create an owner; return a function that imports the bundle that its input contains."""
    owner = seed_rooms(environment, "--rooms", "0")["owner_id"]
    words = ("room", "import", WORKSPACE, "--tenant", TENANT, "--as", owner, "--json")
    return functools.partial(time_scaiwave, *words, environment=environment)


@contextmanager
def serve_scaikey(**options: Any) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """Run a ScaiKey sandbox in this process; yield it, and the settings for connecting to it."""
    from scaiwave.sandbox import Sandbox

    with Sandbox(**options) as sandbox:
        yield (
            sandbox,
            {
                "SCAIWAVE_SCAIKEY_URL": sandbox.url,
                "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
                "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
            },
        )


class Rounds(dict[str, list[Run]]):
    """Runs by the name of the measure.

    Runs with the same number ran one after the other, and are compared with each other.
    """

    def add(self, name: str, run: Run) -> Run:
        self.setdefault(name, []).append(run)
        return run

    def get_median(self, name: str, key: str = "seconds") -> float:
        return median(float(run[key]) for run in self[name])

    def get_peak(self, name: str) -> float:
        """Return the highest memory use of the runs, in MB."""
        return max(int(run["peak_memory"]) for run in self[name]) / MIB

    def compare(self, name: str, other: str) -> list[float]:
        """Return the seconds of `name` ÷ the seconds of `other`: median, lowest and highest."""
        pairs = zip(self[name], self[other], strict=True)
        ratios = sorted(run["seconds"] / base["seconds"] for run, base in pairs)
        return [median(ratios), ratios[0], ratios[-1]]

    def format_comparison(self, name: str, other: str) -> tuple[str, str]:
        """Return the median ratio, and the range of all."""
        middle, lowest, highest = self.compare(name, other)
        return f"{middle:.2f}", f"{lowest:.2f} to {highest:.2f}"

    def print_table(
        self, heading: str, comparisons: Mapping[str, tuple[str, str]], *, items: int = 0
    ) -> None:
        """Print a line for each measure, with its rate if each run handles so many items.

        `comparisons` are, by the name of a measure, the divisor and the target.
        """
        rows = [self.build_row(name, *comparisons.get(name, ()), items=items) for name in self]
        print_table((heading, *RUN_TITLES), rows)

    def build_row(
        self, name: str, other: str = "", target: str = "", *, items: int = 0
    ) -> list[str]:
        seconds, run = self.get_median(name), self[name][0]
        return [
            *(name, f"{seconds:.3f}", f"{items / seconds:,.0f}" if items else "-", other or "-"),
            *(self.format_comparison(name, other) if other else ("-", "-")),
            target or "-",
            f"{self.get_median(name, 'processor'):.2f}" if "processor" in run else "-",
            f"{self.get_peak(name):.0f}" if "peak_memory" in run else "-",
        ]


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an empty line, and a table: the first column left-aligned, the others right-aligned."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    print()
    for first, *others in lines:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *cells]).rstrip(), flush=True)
