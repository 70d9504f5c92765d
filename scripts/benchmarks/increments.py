"""`scripts/bench increments`: time increments of a room against a whole export and import.

In one home directory: a whole export; an increment of a room that has not changed, with the cache
beside the chain and without; an increment after 1 % of the events were edited, its size, and
`scaiwave room merge` of the chain against `scaiwave room verify` of the base. Then, in an empty
one: the import of the base, and of the increment. Each run is a process of its own.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import (
    TENANT,
    Database,
    Rounds,
    connect,
    empty_home,
    prepare_import,
    seed_room,
)
from scripts.benchmarks.processes import BenchmarkError, time_scaiwave

EVENTS = "100000"
WHOLE, CACHED, UNCACHED = "whole export", "unchanged, with the cache", "unchanged, without it"
CHANGED, VERIFY, MERGE = "1 % edited", "room verify of the base", "room merge"
IMPORT, APPEND = "import of the base", "import of the increment"
CACHE = ".scaiwave-chain-index"


def measure(database: Database, events: int, repeat: int, heading: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as scratch:
        runs, base, increment = _measure(database, events, Path(scratch), repeat)
    comparisons = {
        CACHED: (WHOLE, "≤ 0.7" if database.server else "≤ 1"),
        UNCACHED: (WHOLE, "≤ 1.6"),
        CHANGED: (WHOLE, ""),
        MERGE: (VERIFY, "≤ 2"),
        APPEND: (IMPORT, "≤ 0.05"),
    }
    runs.print_table(heading, comparisons)
    print(f"Size of the increment: {increment:,} bytes, {increment / base:.1%} of the base.")
    return {"runs": runs, "base_bytes": base, "increment_bytes": increment}


def _measure(
    database: Database, events: int, directory: Path, repeat: int
) -> tuple[Rounds, int, int]:
    runs = Rounds()
    base, empty, increment = (directory / f"{number:04}.zip" for number in range(3))
    with empty_home(database) as environment:
        room = seed_room(environment, "--events", str(events))
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
            runs.add(CHANGED, scaiwave(*words, *both, "--output", str(increment), "--force"))
            runs.add(VERIFY, scaiwave("room", "verify", str(base)))
            whole = ("--output", str(directory / "whole.zip"), "--force")
            runs.add(
                MERGE, scaiwave("room", "merge", str(base), str(empty), str(increment), *whole)
            )
    for _ in range(repeat):
        with empty_home(database) as environment:
            import_bundle = prepare_import(environment)
            answer = directory / "answer.json"
            runs.add(IMPORT, import_bundle(source=base, target=answer))
            import_bundle("--append", source=empty, target=answer)
            runs.add(APPEND, import_bundle("--append", source=increment, target=answer))
            if not json.loads(answer.read_bytes())["changed"]:
                raise BenchmarkError("The increment was not imported.")
    return runs, base.stat().st_size, increment.stat().st_size
