"""`scripts/bench webhooks`: time from a revocation in ScaiKey until it is in the database here.

The sandbox suspends people one by one and announces each by a webhook to a gunicorn of this suite;
the clock runs from the suspension until another process reads it from the database. Without Redis
each event starts a process; with it a worker is waiting. Times have no limit, but an event that
is not handled within a minute is an error.

Then, with Redis, a stream of events meets one worker, and full syncs are put into its queue.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.population import EVERYTHING, decode_row
from scripts.benchmarks.databases import (
    TOP,
    Database,
    empty_home,
    postgresql_database,
    sqlite_database,
)
from scripts.benchmarks.metrics import BenchmarkError, describe_host, format_table
from scripts.benchmarks.webhook_stream import (
    ENQUEUE,
    STREAM_NOTES,
    STREAM_TITLES,
    measure_stream,
)
from tests.identity_sync.webhooks.factories import PATH, SECRET
from tests.identity_sync.webhooks.live_server import LiveServer, serve
from tests.services.manager import manage_service
from tests.services.unprivileged_user import ServiceUnavailable

MAX_WAIT_SECONDS = 60.0
MAX_STREAM_PEOPLE = 500
POLL_SECONDS = 0.005
TITLES = ("", "median s", "slowest s", "requests", "÷ start")
NOTES = """\
÷ start: the median divided by the median of `scaiwave manage process_webhooks` with nothing to
do, run after each revocation. The sandbox, the web server and the database share the host's
cores."""


@dataclass(frozen=True)
class Setup:
    """What is measured on: a database, with Redis or without."""

    database: Database
    redis_url: str = ""

    @property
    def title(self) -> str:
        return f"{self.database.name}, {'a worker' if self.redis_url else 'a process for each'}"


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    try:
        with ExitStack() as stack:
            setups = list(_open_setups(options.setup, stack))
            print(describe_host(*dict.fromkeys(setup.database.title for setup in setups)))
            print(f"Directory: {options.people:,} people.")
            if options.setup != "stream":
                print(f"\nRevocations: {options.events:,} of each.\n{NOTES}\n", flush=True)
                print(format_table(TITLES, [_measure(setup, options) for setup in setups]))
            for setup in setups:
                if setup.redis_url and options.setup != "redis":
                    print(f"\n{setup.title}\n{STREAM_NOTES}\n", flush=True)
                    print(format_table(STREAM_TITLES, _measure_streams(setup, options)))
    except (ServiceUnavailable, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench webhooks", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--people", type=int, default=20_000, help="number of people (default 20,000)")
    add("--events", type=int, default=21, help="number of revocations (default 21)")
    add("--seconds", type=int, default=120, help="length of a stream (default 120)")
    add("--rates", type=int, nargs="+", default=[5, 20], help="events per second (default 5 20)")
    setups = ("sqlite", "postgresql", "redis", "stream", "all")
    add("--setup", choices=setups, default="all", help="what to measure (default all)")
    return parser


def _open_setups(choice: str, stack: ExitStack) -> Iterator[Setup]:
    if choice in ("sqlite", "all"):
        yield Setup(sqlite_database())
    if choice == "sqlite":
        return
    postgresql = stack.enter_context(postgresql_database())
    if choice in ("postgresql", "all"):
        yield Setup(postgresql)
    if choice in ("redis", "stream", "all"):
        manager = stack.enter_context(manage_service("redis"))
        yield Setup(postgresql, f"{manager.wait_for_service().url}?db=0")


def _measure(setup: Setup, options: argparse.Namespace) -> list[str]:
    with _start(setup, options) as (environment, sandbox, server):
        times, starts, requests = _measure_revocations(sandbox, server, environment, options.events)
    return [
        setup.title,
        f"{median(times):.2f}",
        f"{max(times):.2f}",
        f"{requests / len(times):.1f}",
        f"{median(times) / median(starts):.2f}",
    ]


def _measure_streams(setup: Setup, options: argparse.Namespace) -> list[list[str]]:
    with _start(setup, options) as (environment, sandbox, server):
        enqueue = [sys.executable, "-c", ENQUEUE]
        return [
            measure_stream(
                sandbox,
                server,
                _list_active(sandbox, MAX_STREAM_PEOPLE),
                rate=rate,
                seconds=options.seconds,
                enqueue=lambda: float(_run_program(environment, enqueue)),
            )
            for rate in options.rates
        ]


@contextmanager
def _start(
    setup: Setup, options: argparse.Namespace
) -> Iterator[tuple[dict[str, str], Sandbox, LiveServer]]:
    """Run a sandbox, a web server that is equal to it, and a worker if there is Redis."""
    with ExitStack() as stack:
        environment = dict(stack.enter_context(empty_home(setup.database)))
        environment.setdefault(
            "SCAIWAVE_DB_URL", f"sqlite:///{environment['SCAIWAVE_HOME']}/scaiwave.sqlite3"
        )
        environment["SCAIWAVE_REDIS_URL"] = setup.redis_url
        environment["SCAIWAVE_PROFILE"] = "full"
        environment["DJANGO_SETTINGS_MODULE"] = "scaiwave.settings"
        # The losses of these runs add up to the next full sync, and none follows.
        environment["SCAIWAVE_SYNC_REMOVAL_LIMIT"] = "1000000"
        sandbox = stack.enter_context(Sandbox(people=options.people, tenants=20, groups=200))
        sandbox.webhooks.configure({"secret": SECRET})
        environment |= {
            "SCAIWAVE_SCAIKEY_URL": sandbox.url,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
            "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET": sandbox.webhooks.options.secret,
        }
        _run(environment, "sync")
        server = stack.enter_context(_serve(environment, sandbox))
        if setup.redis_url:
            stack.enter_context(_run_rq_worker(environment))
        yield environment, sandbox, server


@contextmanager
def _serve(environment: dict[str, str], sandbox: Sandbox) -> Iterator[LiveServer]:
    ours = {name: value for name, value in environment.items() if name.startswith("SCAIWAVE_")}
    url, home = ours["SCAIWAVE_DB_URL"], Path(ours["SCAIWAVE_HOME"])
    with serve(url, home, sandbox, **ours) as server:
        sandbox.webhooks.configure({"url": server.base_url + PATH})
        yield server


@contextmanager
def _run_rq_worker(environment: dict[str, str]) -> Iterator[None]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "scaiwave.cli", "worker"],
        cwd=TOP,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with worker:
        try:
            yield
        finally:
            worker.terminate()


def _measure_revocations(
    sandbox: Sandbox, server: LiveServer, environment: dict[str, str], number: int
) -> tuple[list[float], list[float], int]:
    """Return the seconds of each, the seconds of the starts, and the requests of all revocations.

    The first one is left out, since it also starts the web server's workers.
    """
    people = _list_active(sandbox, number + 1)
    times, starts = [], []
    for position, person in enumerate(people):
        if position == 1:
            sandbox.requests.reset()
        began = time.monotonic()
        sandbox.mutate("suspend_user", user_id=person)
        _wait_for_status(server, person, began + MAX_WAIT_SECONDS)
        times.append(time.monotonic() - began)
        while "pending" in server.states() or server.processes():
            time.sleep(POLL_SECONDS)
        began = time.monotonic()
        _run(environment, "manage", "process_webhooks")
        starts.append(time.monotonic() - began)
    return times[1:], starts[1:], sandbox.requests.total


def _list_active(sandbox: Sandbox, number: int) -> list[str]:
    rows = map(decode_row, sandbox.directory.list_users(EVERYTHING, 0, 10 * number)[0])
    return [row["id"] for row in rows if row["status"] == "ACTIVE"][:number]


def _wait_for_status(server: LiveServer, person: str, deadline: float) -> None:
    while server.status_of(person) != "SUSPENDED":
        if time.monotonic() > deadline:
            raise BenchmarkError(f"The revocation of {person} did not arrive in a minute.")
        time.sleep(POLL_SECONDS)


def _run(environment: dict[str, str], *words: str) -> None:
    _run_program(environment, [sys.executable, "-m", "scaiwave.cli", *words])


def _run_program(environment: dict[str, str], command: list[str]) -> str:
    process = subprocess.run(
        command, cwd=TOP, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise BenchmarkError(f"`{' '.join(command[1:])}` failed: {process.stderr.strip()}")
    return process.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
