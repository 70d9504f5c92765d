"""`scripts/bench lists`: the lists of the command line on a large server.

For each list command, with `--limit 50`: the seconds of the whole process, divided by the seconds
of `scaiwave admin list-tenants` on an empty server, which are the start of Python and Django. The
two alternate. Then the same lists in full, as CSV and as JSON: their peak memory on this server
and on one a tenth of its size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from scripts.benchmarks.harness import Database, Rounds, empty_home, print_table
from scripts.benchmarks.large_server import ACTIONS, LARGE_TENANT, ServerSize, fill_server
from scripts.benchmarks.processes import time_scaiwave

START = ("admin", "list-tenants", "--quiet")
LIMIT = ("--limit", "50", "--quiet")
GROWTH = 10
MAX_RATIO = 1.5
TITLES = ("scaiwave", "seconds", "÷ start", "range", "peak MB", "target")
FULL_TITLES = ("all rows", "seconds", f"peak MB at 1/{GROWTH}", "peak MB")
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


def add_options(add: Callable[..., Any]) -> None:
    add("--runs", type=int, default=5, help="runs of each command")
    add("--divisor", type=int, default=1, metavar="N", help="only 1/N of the rows")
    add("--only", default="", metavar="WORDS", help="only commands that begin with these words")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    size = ServerSize().scale(options.divisor)
    with ExitStack() as stack:
        empty, small, large = (stack.enter_context(empty_home(database)) for _ in range(3))
        fill_server(small, size.scale(GROWTH))
        fill_server(large, size)
        print(size, flush=True)
        lists = [
            _measure_list(words, large, empty, options.runs)
            for words in _choose(LISTS, options.only)
        ]
        print_table(TITLES, [_format_list(each) for each in lists])
        full = [
            _measure_full_list((*words, output_format), large, small)
            for words in _choose(FULL_LISTS, options.only)
            for output_format in FORMATS
        ]
        print_table(FULL_TITLES, [_format_full_list(each) for each in full])
    return {"database": database.title, **asdict(size), "lists": lists, "memory": full}


def _choose(lists: Iterable[tuple[str, ...]], only: str) -> list[tuple[str, ...]]:
    return [words for words in lists if " ".join(words).startswith(only)]


def _measure_list(
    words: tuple[str, ...], large: dict[str, str], empty: dict[str, str], runs: int
) -> dict[str, Any]:
    rounds = Rounds()
    for _ in range(runs):
        rounds.add("start", time_scaiwave(*START, environment=empty))
        rounds.add("list", time_scaiwave(*words, *LIMIT, environment=large))
    return {"command": " ".join(words), "runs": rounds}


def _format_list(measured: dict[str, Any]) -> list[str]:
    rounds: Rounds = measured["runs"]
    return [
        measured["command"],
        f"{rounds.get_median('list'):.2f}",
        *rounds.format_comparison("list", "start"),
        f"{rounds.get_peak('list'):.0f}",
        f"≤ {MAX_RATIO:g}",
    ]


def _measure_full_list(
    words: tuple[str, ...], large: dict[str, str], small: dict[str, str]
) -> dict[str, Any]:
    rounds = Rounds()
    rounds.add("small", time_scaiwave(*words, "--quiet", environment=small))
    rounds.add("large", time_scaiwave(*words, "--quiet", environment=large))
    return {"command": " ".join(words), "runs": rounds}


def _format_full_list(measured: dict[str, Any]) -> list[str]:
    rounds: Rounds = measured["runs"]
    return [
        measured["command"],
        f"{rounds.get_median('large'):.1f}",
        f"{rounds.get_peak('small'):.0f}",
        f"{rounds.get_peak('large'):.0f}",
    ]
