"""`scripts/bench deletion`: time the deletion of a room against a bare DELETE of the same rows.

In each round one room is deleted by `scaiwave room delete --now`, and another one of the same size
by DELETE statements for its documents of the search index, events, attachments and members, in one
transaction. At the same time another tenant's row is written again and again: the longest wait
counts.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripts.benchmarks.harness import (
    TENANT,
    Database,
    Rounds,
    connect,
    empty_home,
    parse_numbers,
    print_table,
    seed_rooms,
)
from scripts.benchmarks.processes import Clock, time_scaiwave

OURS, BARE = "scaiwave room delete --now", "DELETE"
MIN_RATIO, MAX_WAIT, MAX_MEMORY = 0.4, 0.2, 120
WRITE_SECONDS = 0.005
_IN_ROOM = "(SELECT id FROM sw_events WHERE room_id = {0})"
_DELETES = (
    f"DELETE FROM sw_search_documents WHERE event_id IN {_IN_ROOM}",  # noqa: S608 - a constant
    "DELETE FROM sw_events WHERE room_id = {0}",
    "DELETE FROM sw_room_media WHERE room_id = {0}",
    "DELETE FROM sw_room_members WHERE room_id = {0}",
    "DELETE FROM sw_rooms WHERE id = {0}",
)


def add_options(add: Callable[..., Any]) -> None:
    add("--events", type=parse_numbers, default="100000", help="numbers of events")
    add("--repeat", type=int, default=3, help="runs of each, one of each kind after the other")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    blocks = []
    for events in options.events:
        runs = _measure(database, events, options.repeat)
        ratio, lowest, highest = runs.compare(BARE, OURS)
        print_table(
            (f"{database.title}, {events:,} events", "measured", "target"),
            [
                [f"{OURS}, seconds", f"{runs.get_median(OURS):.2f}", "-"],
                [f"{BARE}, seconds", f"{runs.get_median(BARE):.2f}", "-"],
                ["ours ÷ DELETE", f"{ratio:.2f} ({lowest:.2f} to {highest:.2f})", "≥ 0.4"],
                ["peak MB", f"{runs.get_peak(OURS):.0f}", f"< {MAX_MEMORY}"],
                [
                    "longest wait of another tenant, seconds",
                    f"{max(run['wait'] for run in runs[OURS]):.3f} "
                    f"(DELETE: {max(run['wait'] for run in runs[BARE]):.3f})",
                    f"< {MAX_WAIT:g}",
                ],
            ],
        )
        blocks.append({"events": events, "runs": runs})
    return {"database": database.title, "blocks": blocks}


def _measure(database: Database, events: int, repeat: int) -> Rounds:
    runs = Rounds()
    with empty_home(database) as environment:
        seeded = seed_rooms(
            environment, "--events", str(events), "--rooms", str(2 * repeat), "--media", "20"
        )
        rooms = [str(room["id"]) for room in seeded["rooms"]]
        tenant = ("admin", "create-tenant", "--slug", "other", "--name", "Other", "--local")
        time_scaiwave(*tenant, environment=environment)
        time_scaiwave("room", "search-index", "--inline", environment=environment)
        for number in range(repeat):
            words = ("room", "delete", rooms[2 * number], "--tenant", TENANT, "--reason", "bench")
            with write_beside(environment) as wait:
                flags = ("--archive", "--now", "--yes", "--quiet")
                run = time_scaiwave(*words, *flags, environment=environment)
            runs.add(OURS, {**run, "wait": max(wait)})
            with write_beside(environment) as wait, connect(environment) as connection:
                clock = Clock()
                _delete(connection, rooms[2 * number + 1], is_sqlite=not database.server)
                run = clock.read()
            runs.add(BARE, {**run, "wait": max(wait), "peak_memory": 0})
    return runs


def _delete(connection: Any, room: str, *, is_sqlite: bool) -> None:
    key = room.replace("-", "") if is_sqlite else room
    connection.execute("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
    for sql in _DELETES:
        connection.execute(sql.format(f"'{key}'"))
    connection.execute("COMMIT")


@contextmanager
def write_beside(environment: dict[str, str]) -> Iterator[list[float]]:
    """Write another tenant's row until the block ends; yield the list of the seconds each took."""
    waits, ended = [0.0], threading.Event()

    def write() -> None:
        with connect(environment) as connection:
            if "SCAIWAVE_DB_URL" not in environment:
                connection.execute("PRAGMA busy_timeout = 60000")
            while not ended.wait(WRITE_SECONDS):
                started = time.perf_counter()
                connection.execute("UPDATE sw_tenants SET name = name WHERE slug = 'other'")
                waits.append(time.perf_counter() - started)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()
