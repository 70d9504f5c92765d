"""`scripts/bench sync`: time a sync against a bare download of the same pages.

For each database and each latency of the sandbox, each run is a separate process: the bare download
(several times between the others, of which the median counts), the first sync into an empty
database, a sync with nothing to do, one after 1 % of the people has changed, and one after a third
of the people has moved to other tenants. Times have no limit, but a run that changes anything other
than expected is an error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.databases import (
    POSTGRES_URL,
    TOP,
    Database,
    empty_home,
    exit_on_termination,
    open_databases,
)
from scripts.benchmarks.fake_scaikey import ScaiKeyServer, run_scaikey
from scripts.benchmarks.metrics import MIB, BenchmarkError, describe_host, format_table
from scripts.benchmarks.sync_baseline import time_plain_insert
from tests.services.unprivileged_user import ServiceUnavailable

SHARE = 0.01
MOVED_SHARE = 1 / 3
TITLES = (
    "", "seconds", "ratio", "CPU s", "ratio", "requests", "rows", "rows/s", "changed", "peak MB"
)  # fmt: skip
NOTES = f"""\
ratio: to the median of the bare downloads in the same block, by time and by processor time. The
processor time is the process's own, without the sandbox and a database server. Clocks start
after all imports. The sandbox shares the host's cores. The PostgreSQL that this program starts
does not wait for the disk; {POSTGRES_URL} selects another."""


@dataclass
class Block:
    """All runs on one database at one latency in milliseconds, by name."""

    database: str
    latency: int
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    plain_insert_seconds: float = 0.0

    def describe_apply(self) -> str:
        """Return how the end of the first sync compares with plain SQL."""
        [first] = self.runs["first sync"]
        ours, plain = first["apply_seconds"], self.plain_insert_seconds
        return (
            f"First sync, from the last response to the commit: {ours:.2f} s. Plain SQL for the "
            f"same rows: {plain:.2f} s, {plain / ours:.2f} of it."
        )

    def describe_sizes(self) -> str:
        """Return how large the temporary tables of the first sync were, beside its rows."""
        [first] = self.runs["first sync"]
        plan, staged, rows, indexed = (
            first["sizes"][name] for name in ("plan", "staged", "rows", "rows_with_indexes")
        )
        return (
            f"Temporary tables of the first sync: {plan / MIB:.0f} MB for the plan, "
            f"{plan / rows:.2f} of its rows ({rows / MIB:.0f} MB) and {plan / indexed:.2f} of "
            f"them with their indexes; {staged / MIB:.0f} MB for what ScaiKey returned."
        )

    def describe_requests(self) -> str:
        ours = self.runs["second sync"][0]["requests"]
        least = self.runs["bare download"][0]["least_requests"]
        return (
            f"Requests of a sync without changes: {ours:,}. The least possible with pages of this "
            f"size: {least:,}, {ours / least:.2f} times as many."
        )

    def get_baseline(self, name: str) -> float:
        times: list[float] = [run[name] for run in self.runs["bare download"]]
        return median(times)

    def build_rows(self) -> Iterator[list[str]]:
        """Yield a row for each name: of several runs the median times and the highest peak."""
        for name, runs in self.runs.items():
            medians = {time: median(run[time] for run in runs) for time in _TIMES}
            label = f"{name} (median of {len(runs)})" if len(runs) > 1 else name
            yield [
                label,
                f"{medians['seconds']:.2f}",
                f"{medians['seconds'] / self.get_baseline('seconds'):.2f}",
                f"{medians['processor_seconds']:.2f}",
                f"{medians['processor_seconds'] / self.get_baseline('processor_seconds'):.2f}",
                f"{runs[0]['requests']:,}",
                f"{runs[0]['rows']:,}",
                f"{runs[0]['rows'] / medians['seconds']:,.0f}",
                f"{runs[-1]['changed']:,}" if "changed" in runs[-1] else "-",
                f"{max(run['peak_memory'] for run in runs) / MIB:.0f}",
            ]


_TIMES = ("seconds", "processor_seconds")


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    options.tenants = options.tenants or max(1, options.people // 100)
    options.groups = options.groups or max(1, options.people // 10)
    exit_on_termination()
    try:
        with ExitStack() as stack:
            databases = list(open_databases(options.database, stack))
            print(describe_host(*(database.title for database in databases)))
            print(
                f"Directory: {options.people:,} people, {options.partners:,} partners, "
                f"{options.tenants:,} tenants, {options.groups:,} groups.\n\n{NOTES}",
                flush=True,
            )
            blocks = list(_measure_databases(databases, options))
    except (ServiceUnavailable, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps([asdict(block) for block in blocks], indent=1) + "\n")
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench sync", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--people", type=int, default=100_000, help="number of people (default 100,000)")
    add("--partners", type=int, default=3, help="number of partners (default 3)")
    add("--tenants", type=int, help="number of tenants (default one for 100 people)")
    add("--groups", type=int, help="number of groups (default one for 10 people)")
    databases = ("sqlite", "postgresql", "both")
    add("--database", choices=databases, default="both", help="database (default both)")
    add(
        "--latency",
        type=_parse_latencies,
        default=[0, 30],
        help="delays of each response in ms (default 0,30)",
    )
    add("--repeat", type=int, default=3, help="runs of the sync without changes (default 3)")
    add("--no-scim", action="store_true", help="use a ScaiKey without SCIM: one request a group")
    add("--scim-cursors", action="store_true", help="use a ScaiKey with lists by cursor (RFC 9865)")
    add("--json", type=Path, metavar="FILE", help="also write every run to FILE")
    return parser


def _parse_latencies(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _measure_databases(databases: list[Database], options: argparse.Namespace) -> Iterator[Block]:
    sizes = {name: getattr(options, name) for name in ("people", "partners", "tenants", "groups")}
    for database in databases:
        for latency in options.latency:
            block = Block(database.title, latency)
            with (
                empty_home(database) as environment,
                run_scaikey(
                    latency=latency / 1000,
                    scim=not options.no_scim,
                    scim_cursors=options.scim_cursors,
                    **sizes,
                ) as scaikey,
            ):
                _measure_block(block, {**environment, **scaikey.settings}, scaikey, options.repeat)
            heading = f"{block.database}, {latency} ms"
            table = format_table((heading, *TITLES[1:]), list(block.build_rows()))
            print(f"\n{table}\n{block.describe_apply()}", flush=True)
            print(f"{block.describe_sizes()}\n{block.describe_requests()}", flush=True)
            yield block


def _measure_block(
    block: Block, environment: dict[str, str], scaikey: ScaiKeyServer, repeat: int
) -> None:
    def measure(name: str, operation: str) -> dict[str, Any]:
        run = _run_worker(operation, environment)
        block.runs.setdefault(name, []).append(run)
        return run

    measure("bare download", "bare")
    measure("first sync", "sync")
    block.plain_insert_seconds = time_plain_insert(environment)
    for _ in range(repeat):
        measure("bare download", "bare")
        second = measure("second sync", "sync")
        if second["changed"]:
            raise BenchmarkError(f"A sync with nothing to do changed {second['changed']} rows.")
    expected = scaikey.mutate("change_share", share=SHARE)
    measure("bare download", "bare")
    _check_people(measure(f"{SHARE:.0%} of people changed", "sync"), expected)
    measure("bare download", "bare")
    # Who moves is deactivated in one tenant and added to another.
    moved = scaikey.mutate("move_share", share=MOVED_SHARE)
    expected = {"renamed": 0, "removed": moved, "added": moved}
    _check_people(measure("a third of people moved", "sync-allowing-removals"), expected)
    measure("bare download", "bare")


def _check_people(run: dict[str, Any], expected: dict[str, int]) -> None:
    counts = run["kinds"]["participants"]
    actual = {
        "renamed": counts["updated"],
        "removed": counts["deactivated"],
        "added": counts["added"],
    }
    if actual != expected:
        raise BenchmarkError(f"ScaiKey changed {expected}, but the sync reported {actual}.")


def _run_worker(operation: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.benchmarks.sync_worker", operation]
    process = subprocess.run(
        command,
        cwd=TOP,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if process.returncode:
        raise BenchmarkError(
            f"The {operation} ended with exit code {process.returncode}; see above."
        )
    run: dict[str, Any] = json.loads(process.stdout)
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
