"""`scripts/bench sync`: what a sync costs, beside a bare download of the same pages.

For each database and each latency of the sandbox, every measurement is a process of its own:
the bare download (several times, in between the others, of which the median counts), the first
sync into an empty database, the same again with nothing to change, and one after a hundredth of
the people has changed. Nothing that is timed is judged; that the runs change what they should is.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

from scripts.benchmarks.databases import POSTGRES_URL, TOP, Database, empty_home, postgresql, sqlite
from scripts.benchmarks.fake_scaikey import ScaiKeyServer, serving
from scripts.benchmarks.measure import MIB, aligned, describe_machine
from tests.services.account import ServiceAbsent

SHARE = 0.01
TITLES = (
    "", "seconds", "ratio", "CPU s", "ratio", "requests", "rows", "rows/s", "changed", "peak MB"
)  # fmt: skip
NOTES = f"""\
ratio: to the median of the bare downloads in the same block; by time, and by processor time of
the process alone (neither the sandbox's nor a database server's). Clocks run inside the process
after everything is imported. The sandbox shares the machine's cores. A PostgreSQL of our own
does not wait for the disk; name another server in {POSTGRES_URL}."""


class Wrong(Exception):
    """A run did something else than it should, so its time says nothing."""


@dataclass
class Block:
    """All runs on one database at one latency, in milliseconds, by name."""

    database: str
    latency: int
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def bare(self, figure: str) -> float:
        figures: list[float] = [run[figure] for run in self.runs["bare download"]]
        return median(figures)

    def lines(self) -> Iterator[list[str]]:
        """One for each name; of several runs the median of each time, and the highest peak."""
        for name, runs in self.runs.items():
            middle = {figure: median(run[figure] for run in runs) for figure in _FIGURES}
            label = f"{name} (median of {len(runs)})" if len(runs) > 1 else name
            yield [
                label,
                f"{middle['seconds']:.2f}",
                f"{middle['seconds'] / self.bare('seconds'):.2f}",
                f"{middle['processor_seconds']:.2f}",
                f"{middle['processor_seconds'] / self.bare('processor_seconds'):.2f}",
                f"{runs[0]['requests']:,}",
                f"{runs[0]['rows']:,}",
                f"{runs[0]['rows'] / middle['seconds']:,.0f}",
                f"{runs[-1]['changed']:,}" if "changed" in runs[-1] else "-",
                f"{max(run['peak_memory'] for run in runs) / MIB:.0f}",
            ]


_FIGURES = ("seconds", "processor_seconds")


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    try:
        with ExitStack() as stack:
            databases = list(_databases(options.database, stack))
            print(describe_machine(*(database.title for database in databases)))
            print(
                f"Directory: {options.people:,} people, {options.partners:,} partners, "
                f"{options.tenants:,} tenants, {options.groups:,} groups.\n\n{NOTES}",
                flush=True,
            )
            blocks = list(_blocks(databases, options))
    except (ServiceAbsent, Wrong) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps([asdict(block) for block in blocks], indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench sync", allow_abbrev=False)
    add = parser.add_argument
    add("--people", type=int, default=100_000, help="fewer for a quick look (default 100,000)")
    add("--partners", type=int, default=3)
    add("--tenants", type=int, default=200)
    add("--groups", type=int, default=2000)
    add("--database", choices=("sqlite", "postgresql", "both"), default="both")
    add("--latency", type=_latencies, default=[0, 30], help="in ms, before each answer: 0,30")
    add("--repeat", type=int, default=3, help="how often the sync without changes is measured")
    add("--no-scim", action="store_true", help="a ScaiKey without SCIM: one request a group")
    add("--json", type=Path, metavar="FILE", help="write every single run here too")
    return parser


def _latencies(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _databases(choice: str, stack: ExitStack) -> Iterator[Database]:
    if choice != "postgresql":
        yield sqlite()
    if choice != "sqlite":
        yield stack.enter_context(postgresql())


def _blocks(databases: list[Database], options: argparse.Namespace) -> Iterator[Block]:
    sizes = {name: getattr(options, name) for name in ("people", "partners", "tenants", "groups")}
    for database in databases:
        for latency in options.latency:
            block = Block(database.title, latency)
            with (
                empty_home(database) as environment,
                serving(latency=latency / 1000, scim=not options.no_scim, **sizes) as scaikey,
            ):
                _fill(block, {**environment, **scaikey.settings}, scaikey, options.repeat)
            heading = f"{block.database}, {latency} ms"
            print("\n" + aligned((heading, *TITLES[1:]), list(block.lines())), flush=True)
            yield block


def _fill(block: Block, environment: dict[str, str], scaikey: ScaiKeyServer, repeat: int) -> None:
    def measure(name: str, what: str) -> dict[str, Any]:
        run = _measured(what, environment)
        block.runs.setdefault(name, []).append(run)
        return run

    measure("bare download", "bare")
    measure("first sync", "sync")
    for _ in range(repeat):
        measure("bare download", "bare")
        second = measure("second sync", "sync")
        if second["changed"]:
            raise Wrong(f"A sync that has nothing to do changed {second['changed']} rows.")
    expected = scaikey.mutate("change_share", share=SHARE)
    measure("bare download", "bare")
    _check_people(measure(f"{SHARE:.0%} of people changed", "sync"), expected)
    measure("bare download", "bare")


def _check_people(run: dict[str, Any], expected: dict[str, int]) -> None:
    counts = run["kinds"]["participants"]
    found = {
        "renamed": counts["updated"],
        "removed": counts["deactivated"],
        "added": counts["added"],
    }
    if found != expected:
        raise Wrong(f"ScaiKey changed {expected}, and the sync says {found}.")


def _measured(what: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.benchmarks.sync_worker", what]
    done = subprocess.run(
        command,
        cwd=TOP,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise Wrong(f"The {what} ended with exit code {done.returncode}; see its message above.")
    run: dict[str, Any] = json.loads(done.stdout)
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
