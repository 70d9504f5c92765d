"""`scripts/bench erasure`: time the erasure of a tenant against a bare DELETE of its rows.

Each run has its own home, with a filled search index. While the tenant is erased, another tenant's
row is written again and again: the longest wait counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.deletion import write_beside
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

ERASE, BARE, START = "admin erase-tenant", "bare DELETE", "the start of a process"
MAX_RATIO, MAX_MB, MAX_WAIT = 2.0, 120, 0.2
TABLES = (
    *("search_documents", "events", "room_media", "media", "room_members", "rooms"),
    *("workspace_members", "workspaces", "stream_counters", "participants"),
)
OWN = f"(SELECT id FROM sw_tenants WHERE slug = '{TENANT}')"  # noqa: S608


def add_options(add: Callable[..., Any]) -> None:
    add("--events", type=parse_numbers, default="100000", help="numbers of events")
    add("--repeat", type=int, default=3, help="runs of each")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    blocks = []
    for events in options.events:
        runs, waits = Rounds(), []
        for _ in range(options.repeat):
            with _seeded(database, events) as environment, connect(environment) as connection:
                clock = Clock()
                for table in TABLES:
                    connection.execute(f"DELETE FROM sw_{table} WHERE tenant_id = {OWN}")  # noqa: S608
                runs.add(BARE, {**clock.read(), "peak_memory": 0})
            with _seeded(database, events) as environment, tempfile.TemporaryDirectory() as scratch:
                plan, proof = Path(scratch) / "plan", Path(scratch) / "proof"
                scaiwave = partial(time_scaiwave, environment=environment)
                now = ("--now", "--reason", "bench")
                erase = ("admin", "erase-tenant", TENANT, "--quiet")
                scaiwave(*erase, "--plan", str(plan), "--without-export", *now)
                runs.add(START, scaiwave("admin", "list-tenants"))
                with write_beside(environment) as found:
                    apply = ("--apply", str(plan), "--certificate", str(proof))
                    runs.add(ERASE, scaiwave(*erase, *apply, *now[1:], "--yes"))
                waits.append(max(found))
        work = [
            {**run, "seconds": run["seconds"] - start["seconds"]}
            for run, start in zip(runs[ERASE], runs[START], strict=True)
        ]
        runs["without its start"] = work
        ratio, spread = runs.format_comparison("without its start", BARE)
        print_table(
            (f"{database.title}, {events:,} events", "measured", "target"),
            [
                ("seconds ÷ bare DELETE", f"{ratio} ({spread})", f"≤ {MAX_RATIO:g}"),
                ("peak MB", f"{runs.get_peak(ERASE):.0f}", f"≤ {MAX_MB}"),
                ("longest wait of another tenant, ms", f"{max(waits) * 1000:.0f}",
                 f"≤ {MAX_WAIT * 1000:.0f}"),
            ],
        )  # fmt: skip
        blocks.append({"events": events, "runs": runs, "waits": waits})
    return {"database": database.title, "blocks": blocks}


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
