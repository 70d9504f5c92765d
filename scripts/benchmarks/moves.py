"""`scripts/bench moves`: compare the export and import of a tenant with room exports and imports.

`scaiwave admin export-tenant` is compared with `scaiwave room export` of each room, and `scaiwave
admin import-tenant` with `scaiwave room import` of each bundle. Each process counts without its
start, and each import is into an empty database.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import (
    TENANT,
    WORKSPACE,
    Database,
    Rounds,
    connect,
    empty_home,
    parse_numbers,
    print_table,
    seed_rooms,
)
from scripts.benchmarks.processes import Run, time_scaiwave

EXPORT, EXPORTS = "admin export-tenant", "room export of each"
IMPORT, IMPORTS = "admin import-tenant", "room import of each"
MAX_EXPORT, MIN_SPEED = 1.1, 0.8
ROOMS = 5


def add_options(add: Callable[..., Any]) -> None:
    add("--events", type=parse_numbers, default="100000", help="numbers of events")
    add("--repeat", type=int, default=3, help="runs of each")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    blocks = []
    for events in options.events:
        runs = Rounds()
        for _ in range(options.repeat):
            with tempfile.TemporaryDirectory() as scratch:
                _measure_round(database, events, Path(scratch), runs)
        out, spread = runs.format_comparison(EXPORT, EXPORTS)
        into, into_spread = runs.format_comparison(IMPORTS, IMPORT)
        print_table(
            (f"{database.title}, {events:,} events in {ROOMS} rooms", "measured", "target"),
            [
                ("export-tenant ÷ the exports of its rooms", f"{out} ({spread})",
                 f"≤ {MAX_EXPORT:g}"),
                ("speed of import-tenant ÷ the imports of its rooms", f"{into} ({into_spread})",
                 f"≥ {MIN_SPEED:g}"),
                ("peak MB", f"{max(map(runs.get_peak, (EXPORT, IMPORT))):.0f}", ""),
            ],
        )  # fmt: skip
        blocks.append({"events": events, "runs": runs})
    return {"database": database.title, "blocks": blocks}


def _measure_round(database: Database, events: int, scratch: Path, runs: Rounds) -> None:
    descriptor, directory = scratch / "old.json", scratch / "out"
    with empty_home(database) as environment:
        size = ("--events", str(events // ROOMS), "--rooms", str(ROOMS), "--media", "3")
        rooms = [str(room["id"]) for room in seed_rooms(environment, *size)["rooms"]]
        scaiwave = partial(time_scaiwave, environment=environment)
        scaiwave("admin", "federation", "key", "generate")
        scaiwave("admin", "federation", "descriptor", "--json", target=descriptor)
        start = scaiwave("admin", "list-tenants")
        words = ["room", "export", "--tenant", TENANT, "--quiet"]
        each = [scaiwave(*words, room, target=scratch / room) for room in rooms]
        runs.add(EXPORTS, _add_up(each, start))
        words = ["admin", "export-tenant", TENANT, "--output-dir", str(directory)]
        whole = scaiwave(*words, "--freeze", "--no-input")
        runs.add(EXPORT, _add_up([whole], start))
    with empty_home(database) as environment:
        owner = seed_rooms(environment, "--rooms", "0")["owner_id"]
        scaiwave = partial(time_scaiwave, environment=environment)
        key = ("--descriptor", str(descriptor))
        words = ["room", "import", WORKSPACE, "--tenant", TENANT, "--as", str(owner), "--quiet"]
        each = [scaiwave(*words, source=scratch / room) for room in rooms]
        runs.add(IMPORTS, _add_up(each, start))
    with empty_home(database) as environment:
        words = ["admin", "import-tenant", str(directory), "--slug", TENANT, *key]
        runs.add(IMPORT, _add_up([time_scaiwave(*words, environment=environment)], start))
        with connect(environment) as connection:
            (found,) = connection.execute("SELECT count(*) FROM sw_events").fetchone()
    if found != events // ROOMS * ROOMS:
        raise AssertionError(f"The import wrote {found:,} events.")


def _add_up(runs: list[Run], start: Run) -> Run:
    seconds = sum(run["seconds"] - start["seconds"] for run in runs)
    return {"seconds": max(seconds, 0.001), "peak_memory": max(run["peak_memory"] for run in runs)}
