"""`scripts/bench lists`: the lists of the command line on a large server.

For each list command, with `--limit 50`: the seconds of the whole process, divided by the seconds
of `scaiwave admin list-tenants` on an empty server, which are the start of Python and Django. The
two alternate. Then the same lists in full, as CSV and as JSON: their peak memory on this server
and on one a tenth of its size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.databases import Database, empty_home, run_on_databases
from scripts.benchmarks.large_server import ACTIONS, LARGE_TENANT, ServerSize, fill_server
from scripts.benchmarks.metrics import MIB, describe_host, format_table
from scripts.benchmarks.rooms_timer import time_scaiwave

START = ("admin", "list-tenants", "--quiet")
LIMIT = ("--limit", "50", "--quiet")
GROWTH = 10
MAX_RATIO = 1.5
_TENANT = ("--tenant", LARGE_TENANT)
LISTS = (
    ("admin", "list-tenants"),
    ("admin", "list-tenants", "--status", "suspended"),
    ("admin", "list-tenants", "--partner", "partner-0"),
    ("admin", "list-tenants", "--sort=-members"),
    ("admin", "list-partners"),
    ("admin", "list-participants", *_TENANT),
    ("admin", "list-participants", *_TENANT, "--status", "suspended"),
    ("admin", "list-participants", *_TENANT, "--search", "0000042"),
    ("admin", "list-groups", *_TENANT),
    ("admin", "audit"),
    ("admin", "audit", *_TENANT),
    ("admin", "audit", "--operator", "OPERATOR-7"),
    ("admin", "audit", "--action", ACTIONS[2]),
    ("admin", "audit", "--action", "no-such-action"),
    ("admin", "audit", "--subject", "tenant-000007"),
    ("admin", "audit", "--since", "2024-01-01", "--until", "2024-01-02"),
    ("role", "list", *_TENANT),
    ("room", "list", *_TENANT),
    ("room", "list", *_TENANT, "--type", "dm"),
    ("room", "list", *_TENANT, "--sort=-created"),
    ("room", "list", *_TENANT, "--sort=-events"),
    ("room", "list", *_TENANT, "--search", "room 0000042"),
    ("sync", "runs"),
)
FULL_LISTS = (
    ("admin", "list-tenants"),
    ("admin", "list-participants", *_TENANT),
    ("admin", "list-groups", *_TENANT),
    ("admin", "audit", "--limit", "300000"),
    ("room", "list", *_TENANT),
)
FORMATS = ("--csv", "--json")


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    size = ServerSize().scale(options.divisor)

    def measure(database: Database) -> dict[str, Any]:
        return _measure_database(database, size, options.runs, options.only)

    return run_on_databases(options.database, measure, options.json)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench lists", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--database", choices=("sqlite", "postgresql"), help="only this one (default both)")
    add("--runs", type=int, default=5, help="runs of each command (default 5)")
    add("--divisor", type=int, default=1, metavar="N", help="only 1/N of the rows (default 1)")
    add("--only", default="", metavar="WORDS", help="only commands that begin with these words")
    add("--json", type=Path, metavar="FILE", help="also write the measurements to FILE")
    return parser


def _measure_database(database: Database, size: ServerSize, runs: int, only: str) -> dict[str, Any]:
    with ExitStack() as stack:
        empty = stack.enter_context(empty_home(database))
        small = stack.enter_context(empty_home(database))
        large = stack.enter_context(empty_home(database))
        fill_server(small, size.scale(GROWTH))
        fill_server(large, size)
        rows = ", ".join(f"{count:,} {name}" for name, count in asdict(size).items())
        print(describe_host(database.title), rows.replace("_", " "), sep="\n", flush=True)
        times = list(_time_lists(large, empty, runs, only))
        memory = list(_measure_memory(large, small, only))
    print("\n" + _format_times(times), _format_memory(memory), sep="\n\n", end="\n\n", flush=True)
    return {"database": database.title, **asdict(size), "lists": times, "memory": memory}


def _time_lists(
    large: dict[str, str], empty: dict[str, str], runs: int, only: str
) -> Iterator[dict[str, Any]]:
    """Yield for each list its seconds and the start's, run by run, and its peak memory."""
    for words in _choose(LISTS, only):
        ours, starts = [], []
        for _ in range(runs):
            starts.append(time_scaiwave(*START, environment=empty)["seconds"])
            ours.append(time_scaiwave(*words, *LIMIT, environment=large))
        yield {
            "command": " ".join(words),
            "seconds": [run["seconds"] for run in ours],
            "start_seconds": starts,
            "peak_memory": max(run["peak_memory"] for run in ours),
        }


def _choose(lists: Iterable[tuple[str, ...]], only: str) -> list[tuple[str, ...]]:
    return [words for words in lists if " ".join(words).startswith(only)]


def _measure_memory(
    large: dict[str, str], small: dict[str, str], only: str
) -> Iterator[dict[str, Any]]:
    for words in _choose(FULL_LISTS, only):
        for output_format in FORMATS:
            peaks = {
                name: time_scaiwave(*words, output_format, environment=environment)
                for name, environment in (("small", small), ("large", large))
            }
            yield {
                "command": " ".join((*words, output_format)),
                "seconds": peaks["large"]["seconds"],
                **{f"{name}_peak_memory": run["peak_memory"] for name, run in peaks.items()},
            }


def _format_times(times: list[dict[str, Any]]) -> str:
    lines = []
    for each in times:
        pairs = zip(each["seconds"], each["start_seconds"], strict=True)
        ratios = sorted(ours / start for ours, start in pairs)
        lines.append(
            [
                each["command"],
                f"{median(each['seconds']):.2f}",
                f"{median(ratios):.2f}",
                f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
                f"{each['peak_memory'] / MIB:.0f}",
                f"≤ {MAX_RATIO:g}",
            ]
        )
    titles = ("scaiwave", "seconds", "÷ start", "range", "peak MB", "target")
    return format_table(titles, lines)


def _format_memory(memory: list[dict[str, Any]]) -> str:
    lines = [
        [
            each["command"],
            f"{each['seconds']:.1f}",
            f"{each['small_peak_memory'] / MIB:.0f}",
            f"{each['large_peak_memory'] / MIB:.0f}",
        ]
        for each in memory
    ]
    titles = ("all rows", "seconds", f"peak MB at 1/{GROWTH}", "peak MB")
    return format_table(titles, lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
