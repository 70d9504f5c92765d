"""`scripts/bench transcripts`: time transcripts of a room against an export of the same room.

Each run is a process of its own. A round is one export to a file and one transcript in each format;
a ratio divides the time of a transcript by the time of the export in the same round. The export is
a part of each transcript.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import (
    TENANT,
    Database,
    Rounds,
    empty_home,
    parse_numbers,
    print_table,
    seed_rooms,
)
from scripts.benchmarks.processes import time_scaiwave

EXPORT = "export"
TARGETS = {"html": 3, "text": 2, "csv": 2, "rsmf": 4}
TITLES = ("seconds", "÷ export", "lowest to highest", "target", "CPU s", "peak MB", "largest KB")


def add_options(add: Callable[..., Any]) -> None:
    add("--events", type=parse_numbers, default="10000,100000", help="numbers of events")
    add("--repeat", type=int, default=3, help="rounds")


def measure(database: Database, options: argparse.Namespace) -> list[dict[str, Any]]:
    report = []
    for events in options.events:
        with (
            empty_home(database) as environment,
            tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as scratch,
        ):
            room = seed_rooms(environment, "--events", str(events))["rooms"][0]["id"]
            rounds, largest = _measure_rounds(environment, room, Path(scratch), options.repeat)
        heading = f"{database.title}, {events:,} events"
        print_table((heading, *TITLES), [_build_row(rounds, name, largest) for name in rounds])
        report.append({"database": database.title, "events": events, "runs": dict(rounds)})
    return report


def _measure_rounds(
    environment: dict[str, str], room: str, directory: Path, repeat: int
) -> tuple[Rounds, dict[str, int]]:
    rounds, largest = Rounds(), {}
    words = (room, "--tenant", TENANT, "--quiet", "--output")
    for _ in range(repeat):
        target = str(directory / "room.zip")
        run = time_scaiwave("room", "export", *words, target, "--force", environment=environment)
        rounds.add(EXPORT, run)
        for name in TARGETS:
            output = directory / name
            arguments = ("room", "transcript", *words, str(output), "--format", name)
            rounds.add(name, time_scaiwave(*arguments, environment=environment))
            largest[name] = max(path.stat().st_size for path in output.glob("*"))
            shutil.rmtree(output)
    return rounds, largest


def _build_row(rounds: Rounds, name: str, largest: dict[str, int]) -> list[str]:
    ratios, target, size = ("-", "-"), "-", "-"
    if name != EXPORT:
        ratios = rounds.format_comparison(name, EXPORT)
        target, size = f"≤ {TARGETS[name]}", f"{largest[name] / 1000:,.0f}"
    seconds, processor = rounds.get_median(name), rounds.get_median(name, "processor")
    peak = f"{rounds.get_peak(name):.0f}"
    return [name, f"{seconds:.2f}", *ratios, target, f"{processor:.2f}", peak, size]
