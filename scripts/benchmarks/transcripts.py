"""`scripts/bench transcripts`: time transcripts of a room against an export of the same room.

Each run is a process of its own. A round is one export to a file and one transcript in each format;
a ratio divides the time of a transcript by the time of the export in the same round. The export is
a part of each transcript.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import TENANT, Database, Rounds, empty_home, seed_room
from scripts.benchmarks.processes import time_scaiwave

EVENTS = "10000,100000"
EXPORT = "export"
TARGETS = {"html": 3, "text": 2, "csv": 2, "rsmf": 4}


def measure(database: Database, events: int, repeat: int, heading: str) -> dict[str, Any]:
    rounds, largest = Rounds(), {}
    with (
        empty_home(database) as environment,
        tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as scratch,
    ):
        scaiwave = partial(time_scaiwave, environment=environment)
        room = seed_room(environment, "--events", str(events))
        words = (room, "--tenant", TENANT, "--quiet", "--output")
        for _ in range(repeat):
            target = f"{scratch}/room.zip"
            rounds.add(EXPORT, scaiwave("room", "export", *words, target, "--force"))
            for name in TARGETS:
                output = Path(scratch) / name
                transcript = ("room", "transcript", *words, str(output), "--format", name)
                rounds.add(name, scaiwave(*transcript))
                largest[name] = max(path.stat().st_size for path in output.glob("*"))
                shutil.rmtree(output)
    rounds.print_table(heading, {name: (EXPORT, f"≤ {most}") for name, most in TARGETS.items()})
    sizes = ", ".join(f"{name} {size / 1000:,.0f} KB" for name, size in largest.items())
    print(f"Largest file of a transcript: {sizes}.")
    return {"runs": rounds, "largest": largest}
