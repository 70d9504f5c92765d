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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from scaiwave.sandbox.data.population import EVERYTHING, decode_row
from scripts.benchmarks.harness import (
    SQLITE_FILE,
    Database,
    Rounds,
    empty_home,
    print_table,
    serve_scaikey,
)
from scripts.benchmarks.processes import TOP, BenchmarkError, call, time_scaiwave
from tests.identity_sync.webhooks.factories import PATH, SECRET
from tests.identity_sync.webhooks.live_server import LiveServer, serve
from tests.services.manager import manage_service

if TYPE_CHECKING:
    from scaiwave.sandbox import Sandbox

MAX_WAIT_SECONDS = 60.0
MAX_STREAM_PEOPLE = 500
POLL_SECONDS = 0.005
TITLES = ("", "median s", "slowest s", "requests", "÷ start")
NOTES = """\
÷ start: the median divided by the median of `scaiwave manage process_webhooks` with nothing to
do, run after each revocation. The sandbox, the web server and the database share the host's
cores.
Each event of the stream is a change of a person's name. One worker applies them; the seconds are
from the arrival of an event, and the slowest contain a full sync. Full syncs are put into the
queue as the scheduler does it; "longest wait" is from then until one begins."""

STREAM_TITLES = (
    *("events/s", "sent", "applied", "median s", "95% s", "slowest s"),
    *("syncs queued", "run", "longest wait s"),
)
SYNCS = 2
MAX_END_SECONDS = 300.0
SENDERS = 8
DATABASES = {"sqlite": "sqlite", "all": "both"}


@dataclass(frozen=True)
class LiveSuite:
    """A running web server of the suite, the sandbox that it syncs with, and its environment."""

    environment: dict[str, str]
    sandbox: Sandbox
    server: LiveServer

    def list_active(self, number: int) -> list[str]:
        users = self.sandbox.directory.list_users(EVERYTHING, 0, 10 * number)[0]
        rows = map(decode_row, users)
        return [row["id"] for row in rows if row["status"] == "ACTIVE"][:number]

    def list_syncs(self) -> list[float]:
        """Return when each scheduled sync that has been applied began."""
        rows = self.server.database.rows(
            "SELECT extract(epoch FROM started_at) FROM sw_sync_runs "
            "WHERE \"trigger\" = 'cron' AND outcome = 'applied' ORDER BY started_at"
        )
        return [float(row[0]) for row in rows]


def add_options(add: Callable[..., Any]) -> None:
    add("--people", type=int, default=20_000, help="number of people")
    add("--events", type=int, default=21, help="number of revocations")
    add("--seconds", type=int, default=120, help="length of a stream")
    add("--rates", type=int, nargs="+", default=[5, 20], help="events per second")
    setups = ("sqlite", "postgresql", "redis", "stream", "all")
    add("--setup", choices=setups, default="all", help="what to measure")


def choose_database(options: argparse.Namespace) -> str:
    return DATABASES.get(options.setup, "postgresql")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    print(f"Directory: {options.people:,} people. Revocations: {options.events:,} of each.")
    report: dict[str, Any] = {"database": database.title}
    setup, revocations = options.setup, {}
    with ExitStack() as stack:
        redis_url = ""
        if database.server and setup != "postgresql":
            redis = stack.enter_context(manage_service("redis")).wait_for_service()
            redis_url = f"{redis.url}?db=0"
        if setup in ("sqlite", "postgresql", "all"):
            title = f"{database.name}, a process for each"
            revocations[title] = _measure_revocations(database, "", options)
        if redis_url and setup in ("redis", "all"):
            title = f"{database.name}, a worker"
            revocations[title] = _measure_revocations(database, redis_url, options)
        if revocations:
            report["revocations"] = revocations
            print_table(TITLES, [_build_row(*each) for each in revocations.items()])
        if redis_url and setup in ("stream", "all"):
            with _start(database, redis_url, options) as suite:
                rows = [_measure_stream(suite, rate, options.seconds) for rate in options.rates]
            report["streams"] = rows
            print_table(STREAM_TITLES, rows)
    return report


@contextmanager
def _start(database: Database, redis_url: str, options: argparse.Namespace) -> Iterator[LiveSuite]:
    """Run a sandbox, a web server that is equal to it, and a worker if there is Redis."""
    with (
        empty_home(database) as own,
        serve_scaikey(people=options.people, tenants=20, groups=200) as (sandbox, settings),
        ExitStack() as stack,
    ):
        sandbox.webhooks.configure({"secret": SECRET})
        home = Path(own["SCAIWAVE_HOME"])
        environment = {
            "SCAIWAVE_DB_URL": f"sqlite:///{home / SQLITE_FILE}",
            **own,
            **settings,
            "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET": sandbox.webhooks.options.secret,
            "SCAIWAVE_REDIS_URL": redis_url,
            "SCAIWAVE_PROFILE": "full",
            # The losses of these runs add up to the next full sync, and none follows.
            "SCAIWAVE_SYNC_REMOVAL_LIMIT": "1000000",
        }
        time_scaiwave("sync", "--quiet", environment=environment)
        ours = {name: value for name, value in environment.items() if name.startswith("SCAIWAVE_")}
        server = stack.enter_context(serve(ours["SCAIWAVE_DB_URL"], home, sandbox, **ours))
        sandbox.webhooks.configure({"url": server.base_url + PATH})
        if redis_url:
            stack.enter_context(_run_rq_worker(environment))
        yield LiveSuite(environment, sandbox, server)


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
    database: Database, redis_url: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Measure each revocation, and a start of `process_webhooks` after it.

    The first one is left out, since it also starts the web server's workers.
    """
    rounds = Rounds()
    with _start(database, redis_url, options) as suite:
        sandbox, server = suite.sandbox, suite.server
        for position, person in enumerate(suite.list_active(options.events + 1)):
            if position == 1:
                sandbox.requests.reset()
                rounds.clear()
            began = time.monotonic()
            sandbox.mutate("suspend_user", user_id=person)
            _wait_for_status(server, person, began + MAX_WAIT_SECONDS)
            rounds.add("revocation", {"seconds": time.monotonic() - began})
            while "pending" in server.states() or server.processes():
                time.sleep(POLL_SECONDS)
            start = time_scaiwave("manage", "process_webhooks", environment=suite.environment)
            rounds.add("start", start)
        return {"runs": rounds, "requests": sandbox.requests.total / len(rounds["start"])}


def _wait_for_status(server: LiveServer, person: str, deadline: float) -> None:
    while server.status_of(person) != "SUSPENDED":
        if time.monotonic() > deadline:
            raise BenchmarkError(f"The revocation of {person} did not arrive in a minute.")
        time.sleep(POLL_SECONDS)


def _build_row(title: str, measured: dict[str, Any]) -> list[str]:
    rounds: Rounds = measured["runs"]
    seconds = rounds.get_median("revocation")
    return [
        title,
        f"{seconds:.2f}",
        f"{max(run['seconds'] for run in rounds['revocation']):.2f}",
        f"{measured['requests']:.1f}",
        f"{seconds / rounds.get_median('start'):.2f}",
    ]


def _measure_stream(suite: LiveSuite, rate: int, seconds: float) -> list[str]:
    """Send events at this rate for so long, with full syncs between, and return a row."""
    server, people = suite.server, suite.list_active(MAX_STREAM_PEOPLE)
    number = int(rate * seconds)
    first_event, first_sync = len(server.states()), len(suite.list_syncs())
    began = time.monotonic()

    def enqueue_at(at: float) -> float:
        time.sleep(max(0.0, at - time.monotonic()))
        return float(call(enqueue_sync, environment=suite.environment))

    with ThreadPoolExecutor(SENDERS + 1) as pool:
        queued = [
            pool.submit(enqueue_at, began + seconds * (each + 1) / (SYNCS + 1))
            for each in range(SYNCS)
        ]
        for each in range(number):
            time.sleep(max(0.0, began + each / rate - time.monotonic()))
            person = people[each % len(people)]
            suite.sandbox.directory.update_user(person, display_name=f"Name {each} at {rate}")
            pool.submit(server.deliver, "user.updated", person)
    _wait_for_end(suite, first_sync + SYNCS)
    rows = server.database.rows(
        "SELECT extract(epoch FROM ended_at - received_at) FROM sw_webhook_events "
        "WHERE state = 'handled' ORDER BY received_at"
    )
    delays = [float(row[0]) for row in rows[first_event:]]
    starts = suite.list_syncs()[first_sync:]
    waits = [start - future.result() for start, future in zip(starts, queued, strict=False)]
    return [
        *(str(rate), str(number), str(len(delays))),
        f"{median(delays):.2f}",
        f"{quantiles(delays, n=20, method='inclusive')[-1]:.2f}",
        f"{max(delays):.2f}",
        *(str(SYNCS), str(len(starts))),
        f"{max(waits):.1f}" if waits else "-",
    ]


def enqueue_sync() -> float:
    """Put a full sync into the queue, and return when, in Unix time."""
    from scaiwave.queue.connection import open_redis
    from scaiwave.queue.rq_queue import enqueue_job

    with open_redis() as redis:
        enqueue_job(redis, "identity_sync.jobs.full_sync")
    return time.time()


def _wait_for_end(suite: LiveSuite, syncs: int) -> None:
    """Wait until no event is pending and the syncs have ended, if they were not dropped."""
    deadline = time.monotonic() + MAX_END_SECONDS
    while (is_pending := "pending" in suite.server.states()) or len(suite.list_syncs()) < syncs:
        if time.monotonic() > deadline:
            if is_pending:
                raise BenchmarkError(f"Events wait for more than {MAX_END_SECONDS:.0f} s.")
            return
        time.sleep(0.5)
