"""A stream of webhooks for one worker, with full syncs in the queue between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

from scaiwave.sandbox import Sandbox
from scripts.benchmarks.metrics import BenchmarkError
from tests.identity_sync.webhooks.live_server import LiveServer

STREAM_TITLES = (
    *("events/s", "sent", "applied", "median s", "95% s", "slowest s"),
    *("syncs queued", "run", "longest wait s"),
)
STREAM_NOTES = """\
Each event is a change of a person's name. One worker applies them; the seconds are from the arrival
of an event, and the slowest contain a full sync. Full syncs are put into the queue as the scheduler
does it; "longest wait" is from then until one begins."""
SYNCS = 2
MAX_END_SECONDS = 300.0
SENDERS = 8
ENQUEUE = """
import time, django
django.setup()
from scaiwave.queue.connection import open_redis
from scaiwave.queue.rq_queue import enqueue_job
with open_redis() as redis:
    enqueue_job(redis, "identity_sync.jobs.full_sync")
print(time.time())
"""


def measure_stream(
    sandbox: Sandbox,
    server: LiveServer,
    people: Sequence[str],
    *,
    rate: int,
    seconds: float,
    enqueue: Callable[[], float],
) -> list[str]:
    """Send events at this rate for so long, and return a row of the table.

    `enqueue` puts a full sync into the queue, and returns when, in Unix time.
    """
    number = int(rate * seconds)
    first_event, first_sync = _count_events(server), len(_list_syncs(server))
    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS + 1) as pool:
        queued = [
            pool.submit(_wait_and_call, began + seconds * (each + 1) / (SYNCS + 1), enqueue)
            for each in range(SYNCS)
        ]
        for each in range(number):
            time.sleep(max(0.0, began + each / rate - time.monotonic()))
            person = people[each % len(people)]
            sandbox.directory.update_user(person, display_name=f"Name {each} at {rate}")
            pool.submit(server.deliver, "user.updated", person)
    enqueued = [future.result() for future in queued]
    _wait_for_end(server, first_sync + SYNCS)
    rows = server.database.rows(
        "SELECT extract(epoch FROM ended_at - received_at) FROM sw_webhook_events "
        "WHERE state = 'handled' ORDER BY received_at"
    )
    delays = [float(row[0]) for row in rows[first_event:]]
    starts = _list_syncs(server)[first_sync:]
    waits = [start - at for start, at in zip(starts, enqueued, strict=False)]
    return [
        str(rate),
        str(number),
        str(len(delays)),
        f"{median(delays):.2f}",
        f"{quantiles(delays, n=20, method='inclusive')[-1]:.2f}",
        f"{max(delays):.2f}",
        str(SYNCS),
        str(len(starts)),
        f"{max(waits):.1f}" if waits else "-",
    ]


def _wait_and_call(at: float, call: Callable[[], float]) -> float:
    time.sleep(max(0.0, at - time.monotonic()))
    return call()


def _wait_for_end(server: LiveServer, syncs: int) -> None:
    """Wait until no event is pending and the syncs have ended, if they were not dropped."""
    deadline = time.monotonic() + MAX_END_SECONDS
    while "pending" in server.states() or len(_list_syncs(server)) < syncs:
        if time.monotonic() > deadline:
            if "pending" in server.states():
                raise BenchmarkError(f"Events wait for more than {MAX_END_SECONDS:.0f} s.")
            return
        time.sleep(0.5)


def _count_events(server: LiveServer) -> int:
    return int(server.database.rows("SELECT count(*) FROM sw_webhook_events")[0][0])


def _list_syncs(server: LiveServer) -> list[float]:
    """Return when each scheduled sync that has been applied began."""
    sql = (
        "SELECT extract(epoch FROM started_at) FROM sw_sync_runs "
        "WHERE \"trigger\" = 'cron' AND outcome = 'applied' ORDER BY started_at"
    )
    return [float(row[0]) for row in server.database.rows(sql)]
