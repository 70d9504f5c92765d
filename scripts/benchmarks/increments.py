"""`scripts/bench increments`: time increments of a room against a whole export and import.

In one home directory: a whole export; an increment of a room that has not changed, with the cache
beside the chain and without; an increment after 1 % of the events were edited, its size, and
`scaiwave room merge` of the chain against `scaiwave room verify` of the base. Then, in an empty
one: the import of the base, and of the increment. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
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
from scripts.benchmarks.processes import time_scaiwave

WHOLE, CACHED, UNCACHED = "whole export", "unchanged, with the cache", "unchanged, without it"
CHANGED, VERIFY, MERGE = "1 % edited", "room verify of the base", "room merge"
IMPORT, APPEND = "import of the base", "import of the increment"
CACHE = ".scaiwave-chain-index"

# Each measurement, what it is compared with, and the highest ratio of both on each database.
COMPARISONS = {
    CACHED: (WHOLE, {"PostgreSQL": 0.7, "SQLite": 1.0}),
    UNCACHED: (WHOLE, {"PostgreSQL": 1.6, "SQLite": 1.6}),
    CHANGED: (WHOLE, {}),
    MERGE: (VERIFY, {"PostgreSQL": 2.0, "SQLite": 2.0}),
    APPEND: (IMPORT, {"PostgreSQL": 0.05, "SQLite": 0.05}),
}


def add_options(add: Callable[..., Any]) -> None:
    add("--events", type=parse_numbers, default="100000", help="numbers of events")
    add("--repeat", type=int, default=3, help="runs of each, one of each kind after the other")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    blocks = []
    for events in options.events:
        with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as scratch:
            runs, sizes = _measure(database, events, Path(scratch), options.repeat)
        heading = f"{database.title}, {events:,} events"
        titles = (heading, "seconds", "compared with", "ratio", "range", "target", "peak MB")
        print_table(titles, list(_iter_rows(database, runs)))
        base, link = sizes
        print(f"Size of the increment: {link:,} bytes, {link / base:.1%} of the base.")
        blocks.append({"events": events, "runs": runs, "base_bytes": base, "link_bytes": link})
    return {"database": database.title, "blocks": blocks}


def _iter_rows(database: Database, runs: Rounds) -> Iterator[list[str]]:
    for name in runs:
        other, targets = COMPARISONS.get(name, ("-", {}))
        ratio, spread = runs.format_comparison(name, other) if other != "-" else ("-", "-")
        target = targets.get(database.name)
        yield [
            name,
            f"{runs.get_median(name):.2f}",
            other,
            ratio,
            spread,
            f"≤ {target:g}" if target else "-",
            f"{runs.get_peak(name):.0f}",
        ]


def _measure(
    database: Database, events: int, directory: Path, repeat: int
) -> tuple[Rounds, tuple[int, int]]:
    runs = Rounds()
    base, empty, link = (directory / f"{number:04}.zip" for number in range(3))
    with empty_home(database) as environment:
        room = str(seed_rooms(environment, "--events", str(events))["rooms"][0]["id"])
        scaiwave = partial(time_scaiwave, environment=environment)
        words = ("room", "export", "--tenant", TENANT, "--quiet", room)
        since = ("--since-bundle", str(base))
        both = (*since, "--since-bundle", str(empty))
        scaiwave(*words, "--output", str(base))
        scaiwave(*words, *since, "--output", str(empty), "--even-if-empty")
        cache = (directory / CACHE).read_bytes()
        for _ in range(repeat):
            runs.add(WHOLE, scaiwave(*words))
            runs.add(CACHED, scaiwave(*words, *both))
            (directory / CACHE).unlink()
            runs.add(UNCACHED, scaiwave(*words, *both))
            (directory / CACHE).write_bytes(cache)
        with connect(environment) as connection:
            connection.execute(
                "UPDATE sw_events SET edited_at = created_at, original_content = content "
                "WHERE stream_position % 100 = 0"
            )
        for _ in range(repeat):
            (directory / CACHE).write_bytes(cache)
            runs.add(CHANGED, scaiwave(*words, *both, "--output", str(link), "--force"))
            runs.add(VERIFY, scaiwave("room", "verify", str(base)))
            whole = ("--output", str(directory / "whole.zip"), "--force")
            runs.add(MERGE, scaiwave("room", "merge", str(base), str(empty), str(link), *whole))
    for _ in range(repeat):
        with empty_home(database) as environment:
            owner = seed_rooms(environment, "--rooms", "0")["owner_id"]
            names = ("room", "import", WORKSPACE, "--tenant", TENANT, "--as", owner, "--json")
            scaiwave = partial(time_scaiwave, environment=environment)
            answer = directory / "answer.json"
            runs.add(IMPORT, scaiwave(*names, source=base, target=answer))
            scaiwave(*names, "--append", source=empty, target=answer)
            runs.add(APPEND, scaiwave(*names, "--append", source=link, target=answer))
            if not json.loads(answer.read_bytes())["changed"]:
                raise AssertionError("The increment was not imported.")
    return runs, (base.stat().st_size, link.stat().st_size)
