"""`scripts/bench erasure`: time the erasure of a tenant against a bare DELETE of its rows.

Each run has its own home, with a filled search index. While the tenant is erased, another tenant's
row is written again and again: the longest wait counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from scripts.benchmarks.deletion import MAX_WAIT, write_beside
from scripts.benchmarks.harness import TENANT, Database, Rounds, connect, empty_home, seed_rooms
from scripts.benchmarks.processes import Clock, time_scaiwave

EVENTS = "100000"
ERASE, BARE, START = "admin erase-tenant", "bare DELETE", "the start of a process"
WORK = "admin erase-tenant without its start"
NOTES = "Targets of memory: 120 MB."
TABLES = (
    *("search_documents", "events", "room_media", "media", "room_members", "rooms"),
    *("workspace_members", "workspaces", "stream_counters", "participants"),
)
OWN = f"(SELECT id FROM sw_tenants WHERE slug = '{TENANT}')"  # noqa: S608


def measure(database: Database, events: int, repeat: int, heading: str) -> dict[str, Any]:
    runs, waits = Rounds(), []
    for _ in range(repeat):
        with _seeded(database, events) as environment, connect(environment) as connection:
            clock = Clock()
            for table in TABLES:
                connection.execute(f"DELETE FROM sw_{table} WHERE tenant_id = {OWN}")  # noqa: S608
            runs.add(BARE, clock.read())
        with _seeded(database, events) as environment, tempfile.TemporaryDirectory() as scratch:
            plan, proof = f"{scratch}/plan", f"{scratch}/proof"
            scaiwave = partial(time_scaiwave, environment=environment)
            now = ("--now", "--reason", "bench")
            erase = ("admin", "erase-tenant", TENANT, "--quiet")
            scaiwave(*erase, "--plan", plan, "--without-export", *now)
            start = runs.add(START, scaiwave("admin", "list-tenants"))
            with write_beside(environment) as found:
                apply = ("--apply", plan, "--certificate", proof)
                run = runs.add(ERASE, scaiwave(*erase, *apply, *now[1:], "--yes"))
            runs.add(WORK, {**run, "seconds": run["seconds"] - start["seconds"]})
            waits.append(max(found))
    runs.print_table(heading, {WORK: (BARE, "≤ 2")})
    print(f"Longest wait of another tenant: {max(waits):.3f} s (target {MAX_WAIT:g}).")
    return {"runs": runs, "waits": waits}


@contextmanager
def _seeded(database: Database, events: int) -> Iterator[dict[str, str]]:
    with empty_home(database) as environment:
        seed_rooms(environment, "--events", str(events), "--rooms", "3")
        scaiwave = partial(time_scaiwave, environment=environment)
        scaiwave("admin", "create-tenant", "--slug", "other", "--name", "Other", "--local")
        scaiwave("admin", "federation", "key", "generate")
        scaiwave("room", "search-index", "--inline", "--quiet")
        scaiwave("admin", "suspend-tenant", TENANT, "--reason", "bench", "--yes")
        yield environment
