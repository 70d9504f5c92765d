"""`scripts/bench deletion`: time deletions against a bare DELETE of the same rows.

In each round one room is deleted by `scaiwave room delete --now`, and another one of the same size
by DELETE statements for its documents of the search index, events, attachments and members, in one
transaction. Then `scaiwave admin retention run` deletes the events of a third room that are older
than a day, and DELETE statements do the same in a fourth. Concurrently another tenant's row is
written again and again: its longest wait counts. A fifth room is deleted beside a writer with
pauses of only half a millisecond. The start of a process, most of the time of a small room, is
measured apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from scripts.benchmarks.harness import TENANT, Database, Rounds, connect, empty_home, seed_rooms
from scripts.benchmarks.processes import Clock, Run, time_scaiwave

EVENTS = "100000"
OURS, BARE = "scaiwave room delete --now", "DELETE"
RETENTION, BARE_OLD = "scaiwave admin retention run", "DELETE of old events"
PAIRS = {OURS: BARE, RETENTION: BARE_OLD}
BESIDE = f"{OURS}, beside a busy writer"
WORK = "{}, without its start"
MAX_WAIT = 0.2
NOTES = "Targets of memory: 120 MB."
WRITE_SECONDS = 0.005
BUSY_SECONDS, BUSY_PAUSE = 0.007, 0.0005
"""How long a transaction of the busy writer takes, and its pauses."""
_IN_ROOM = "(SELECT id FROM sw_events WHERE room_id = {0})"
_DELETES = (
    f"DELETE FROM sw_search_documents WHERE event_id IN {_IN_ROOM}",  # noqa: S608 - a constant
    "DELETE FROM sw_events WHERE room_id = {0}",
    "DELETE FROM sw_room_media WHERE room_id = {0}",
    "DELETE FROM sw_room_members WHERE room_id = {0}",
    "DELETE FROM sw_rooms WHERE id = {0}",
)
_OLD_ROWS = "sw_events WHERE room_id = {0} AND created_at < {1}"
_OLD_IDS = f"(SELECT id FROM {_OLD_ROWS})"  # noqa: S608 - a constant
_RETENTION = (
    f"DELETE FROM sw_search_documents WHERE event_id IN {_OLD_IDS}",  # noqa: S608 - a constant
    f"DELETE FROM {_OLD_ROWS}",  # noqa: S608 - a constant
    "DELETE FROM sw_room_media WHERE room_id = {0}",
)
_CUTOFF = {True: "datetime('now', '-1 day')", False: "now() - interval '1 day'"}


def measure(database: Database, events: int, repeat: int, heading: str) -> dict[str, Any]:
    runs, starts = Rounds(), []
    with empty_home(database) as environment:
        size = ("--events", str(events), "--rooms", str(5 * repeat), "--media", "20")
        rooms = [str(room["id"]) for room in seed_rooms(environment, *size)["rooms"]]
        scaiwave = partial(time_scaiwave, environment=environment)
        scaiwave("admin", "create-tenant", "--slug", "other", "--name", "Other", "--local")
        scaiwave("room", "search-index", "--inline")
        in_tenant = ("--tenant", TENANT)
        policy = ("admin", "retention", "set", *in_tenant, "--days", "1", "--yes")
        for number in range(repeat):
            whole, bare_whole, old, bare_old, beside = rooms[5 * number : 5 * number + 5]
            starts.append(scaiwave("admin", "list-tenants")["seconds"])
            flags = ("--reason", "bench", "--archive", "--now", "--yes", "--quiet")
            words: tuple[str, ...] = ("room", "delete", whole, *in_tenant, *flags)
            runs.add(OURS, _run_command(environment, *words))
            runs.add(BARE, _run_statements(environment, _DELETES, bare_whole))
            words = ("room", "delete", beside, *words[3:])
            runs.add(BESIDE, _run_command(environment, *words, busy_seconds=BUSY_SECONDS))
            scaiwave(*policy, "--room", old)
            words = ("admin", "retention", "run", *in_tenant, "--room", old, "--yes", "--quiet")
            runs.add(RETENTION, _run_command(environment, *words))
            runs.add(BARE_OLD, _run_statements(environment, _RETENTION, bare_old))
    comparisons = {bare: (ours, "≥ 0.4") for ours, bare in PAIRS.items()}
    comparisons[BESIDE] = (OURS, "≤ 2.5")
    for ours, bare in PAIRS.items():
        runs[WORK.format(ours)] = [
            {**run, "seconds": run["seconds"] - start}
            for run, start in zip(runs[ours], starts, strict=True)
        ]
        comparisons[WORK.format(ours)] = (bare, "≤ 2.5")
    runs.print_table(heading, comparisons)
    for name in runs:
        wait = max(run["wait"] for run in runs[name])
        print(f"Longest wait of another tenant: {name}, {wait:.3f} s (target {MAX_WAIT:g}).")
    return {"runs": runs}


def _run_command(environment: dict[str, str], *words: str, busy_seconds: float = 0) -> Run:
    with write_beside(environment, busy_seconds=busy_seconds) as wait:
        run = time_scaiwave(*words, environment=environment)
    return {**run, "wait": max(wait)}


def _run_statements(environment: dict[str, str], statements: Sequence[str], room: str) -> Run:
    is_sqlite = "SCAIWAVE_DB_URL" not in environment
    key = room.replace("-", "") if is_sqlite else room
    with write_beside(environment) as wait, connect(environment) as connection:
        clock = Clock()
        connection.execute("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
        for sql in statements:
            connection.execute(sql.format(f"'{key}'", _CUTOFF[is_sqlite]))
        connection.execute("COMMIT")
        run = clock.read()
    return {**run, "wait": max(wait)}


@contextmanager
def write_beside(environment: dict[str, str], *, busy_seconds: float = 0) -> Iterator[list[float]]:
    """Write another tenant's row until the block ends; yield the list of the seconds each took.

    A busy writer keeps its lock for so long, and hardly pauses.
    """
    waits, ended = [0.0], threading.Event()
    is_sqlite = "SCAIWAVE_DB_URL" not in environment

    def write() -> None:
        with connect(environment) as connection:
            if is_sqlite:
                connection.execute("PRAGMA busy_timeout = 60000")
            while not ended.wait(BUSY_PAUSE if busy_seconds else WRITE_SECONDS):
                started = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
                connection.execute("UPDATE sw_tenants SET name = name WHERE slug = 'other'")
                time.sleep(busy_seconds)
                connection.execute("COMMIT")
                waits.append(time.perf_counter() - started - busy_seconds)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()
