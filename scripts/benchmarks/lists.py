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

from scripts.benchmarks.harness import RUN_TITLES, Database, Rounds, empty_home, print_table
from scripts.benchmarks.large_server import ACTIONS, LARGE_TENANT, ServerSize, fill_server
from scripts.benchmarks.processes import time_scaiwave

START = "start"
START_WORDS = ("admin", "list-tenants", "--quiet")
LIMIT = ("--limit", "50", "--quiet")
GROWTH = 10
MAX = "≤ 1.5"
SMALL = f"peak MB at 1/{GROWTH}"
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
        lists, full = {}, {}
        for words in _choose(LISTS, options.only):
            lists[" ".join(words)] = runs = Rounds()
            for _ in range(options.runs):
                runs.add(START, time_scaiwave(*START_WORDS, environment=empty))
                runs.add("list", time_scaiwave(*words, *LIMIT, environment=large))
        rows = [[name, *each.build_row("list", START, MAX)[1:]] for name, each in lists.items()]
        print_table(("scaiwave", *RUN_TITLES), rows)
        for words in _choose(FULL_LISTS, options.only):
            for output_format in ("--csv", "--json"):
                every = (*words, output_format, "--quiet")
                full[" ".join(every[:-1])] = runs = Rounds()
                runs.add(SMALL, time_scaiwave(*every, environment=small))
                runs.add("list", time_scaiwave(*every, environment=large))
        rows = [
            [name, f"{each.get_peak(SMALL):.0f}", *each.build_row("list")[1:]]
            for name, each in full.items()
        ]
        print_table(("all rows", SMALL, *RUN_TITLES), rows)
    report = {
        part: [{"command": name, "runs": runs} for name, runs in measured.items()]
        for part, measured in (("lists", lists), ("memory", full))
    }
    return {"database": database.title, **asdict(size), **report}


def _choose(lists: Iterable[tuple[str, ...]], only: str) -> list[tuple[str, ...]]:
    return [words for words in lists if " ".join(words).startswith(only)]
