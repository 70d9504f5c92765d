"""`scripts/bench rooms`: what carrying a room out and in costs, beside its bare rows.

For each database and each number of events, in a home of its own: `scaiwave room export` of a
made-up room to /dev/null, beside the database writing the same rows as JSON; then `scaiwave room
import` of the bundle into an empty table, beside putting the very rows it made into the same
table. Each run is a process of its own, all kinds take turns, and of each the median counts. The
table is empty and the database has nothing left to do before each import.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType

from scripts.benchmarks.databases import POSTGRES_URL, Database, empty_home, postgresql, sqlite
from scripts.benchmarks.measure import MIB, aligned, describe_machine
from scripts.benchmarks.rooms_bare import Bare, bare
from scripts.benchmarks.rooms_media import media_lines
from scripts.benchmarks.rooms_timing import (
    EXPORT,
    IMPORT,
    TENANT,
    WORKSPACE,
    Run,
    Wrong,
    console,
    seeded,
    timed,
)
from tests.services.account import ServiceAbsent

START, LESS_START = "… of an empty room", "… less that"
DUMPDATA = "Django dumpdata"
MOST_FOR_DUMPDATA = 10_000
TITLES = ("seconds", "rows/s", "ours ÷ this", "aim", "peak MB")
NOTES = f"""\
ours ÷ this: our rows a second by those of the line. What starting takes is part of every figure:
{START!r} shows ours, and {LESS_START!r} what is left without it.
A PostgreSQL of our own does not wait for the disk; name another server in {POSTGRES_URL}."""

_AIMS = {
    f"{program} {what}": aim
    for programs, what, aim in (
        (("psql", "psycopg"), "COPY row_to_json", 0.7),
        (("psql", "psycopg"), "COPY row_to_json | gzip -1", 1.1),
        (("sqlite3", "Python sqlite3"), "json_object", 0.5),
        (("psql", "psycopg"), "COPY FROM", 0.75),
    )
    for program in programs
}


@dataclass
class Block:
    """All runs on one database with one number of events, by name; ours is the first."""

    database: str
    act: str
    events: int
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, name: str, run: Run) -> None:
        self.runs.setdefault(name, []).append(run)

    def seconds(self, name: str) -> float:
        seconds: list[float] = [run["seconds"] for run in self.runs[name]]
        return median(seconds)

    @property
    def peak(self) -> float:
        """MB, the highest of our runs."""
        peaks: list[int] = [run["peak_memory"] for run in self.runs[self.act]]
        return max(peaks) / MIB

    def lines(self) -> Iterator[list[str]]:
        ours = self.seconds(self.act)
        for name in self.runs:
            if name == START:
                yield from self._start_lines(ours)
                continue
            seconds = self.seconds(name)
            ratio = "-" if name == self.act else f"{seconds / ours:.2f}"
            aim = f"≥ {_AIMS[name]:g}" if name in _AIMS else "-"
            peak = f"{self.peak:.0f}" if name == self.act else "-"
            yield [name, f"{seconds:.2f}", self._rate(seconds), ratio, aim, peak]

    def _start_lines(self, ours: float) -> Iterator[list[str]]:
        start = self.seconds(START)
        yield [START, f"{start:.2f}", "-", "-", "-", "-"]
        yield [LESS_START, f"{ours - start:.2f}", self._rate(ours - start), "-", "-", "-"]

    def _rate(self, seconds: float) -> str:
        return f"{self.events / seconds:,.0f}"


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    blocks: list[Block] = []
    try:
        with ExitStack() as stack:
            databases = list(_databases(options.database, stack))
            print(describe_machine(*(database.title for database in databases)))
            print(
                f"Runs of each, of which the median counts: {options.repeat}.\n\n{NOTES}",
                flush=True,
            )
            for database in databases:
                for events in options.events:
                    blocks += _measure(database, events, options.repeat)
                if options.media_gb:
                    print("\n" + media_lines(database, options.media_gb, options.repeat))
    except (ServiceAbsent, Wrong) as error:
        print(error, file=sys.stderr)
        return 1
    _show_growth(blocks)
    if options.json:
        options.json.write_text(json.dumps([asdict(block) for block in blocks], indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench rooms", allow_abbrev=False)
    add = parser.add_argument
    add("--events", type=_sizes, default=[10_000, 100_000], help="10000,100000 unless given")
    add("--media-gb", type=float, default=0, help="also a room with so many GB of files")
    add("--database", choices=("sqlite", "postgresql", "both"), default="both")
    add("--repeat", type=int, default=3, help="runs of each, of which the median counts")
    add("--json", type=Path, metavar="FILE", help="write every single run here too")
    return parser


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _databases(choice: str, stack: ExitStack) -> Iterator[Database]:
    if choice != "postgresql":
        yield sqlite()
    if choice != "sqlite":
        yield stack.enter_context(postgresql())


def _measure(database: Database, events: int, repeat: int) -> Iterator[Block]:
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as folder:
        bundle = Path(folder) / "bundle.zip"
        with empty_home(database) as environment:
            block = Block(database.title, EXPORT, events)
            _fill_export(block, bare(database, environment, bundle), bundle, repeat)
        yield _shown(block)
        with empty_home(database) as environment:
            block = Block(database.title, IMPORT, events)
            beside = bare(database, environment, bundle.with_name("rows"))
            _fill_import(block, beside, bundle, repeat)
        yield _shown(block)


def _shown(block: Block) -> Block:
    heading = f"{block.database}, {block.events:,} events"
    print("\n" + aligned((heading, *TITLES), list(block.lines())), flush=True)
    return block


def _fill_export(block: Block, beside: Bare, bundle: Path, repeat: int) -> None:
    environment = beside.environment
    room = seeded(environment, bundle, "--events", str(block.events))["rooms"][0]["id"]
    empty = seeded(environment, bundle, "--events", "0")["rooms"][0]["id"]
    export = ("room", "export", "--tenant", TENANT, "--quiet")
    beside.settle()
    for _ in range(repeat):
        block.add(EXPORT, console(*export, room, environment=environment))
        for name, pipeline in beside.exports(room).items():
            block.add(name, timed(*pipeline, environment=environment))
        if block.events <= MOST_FOR_DUMPDATA:
            dump = [sys.executable, "manage.py", "dumpdata", "rooms.event", "--skip-checks"]
            block.add(DUMPDATA, timed(dump, environment=environment))
        block.add(START, console(*export, empty, environment=environment))
    console(*export, room, environment=environment, target=bundle)


def _fill_import(block: Block, beside: Bare, bundle: Path, repeat: int) -> None:
    environment = beside.environment
    answer = bundle.with_name("answer.json")
    owner = seeded(environment, answer, "--rooms", "0")["owner_id"]
    words = ("room", "import", WORKSPACE, "--tenant", TENANT, "--as", owner, "--json")
    for _ in range(repeat):
        beside.empty()
        beside.settle()
        run = console(*words, environment=environment, source=bundle, target=answer)
        room = json.loads(answer.read_bytes())["room"]["id"]
        made = beside.keep_rows(room)
        if not 0.9 * block.events < made <= block.events:
            raise Wrong(f"Of {block.events} events the import made {made}.")
        block.add(IMPORT, run)
        beside.empty()
        beside.settle()
        block.add(*beside.fill())


def _show_growth(blocks: list[Block]) -> None:
    """The memory of each act at each size, and how much more that is than at the smallest."""
    lines = []
    for first in blocks:
        same = [each for each in blocks if (each.database, each.act) == (first.database, first.act)]
        if same[0] is first:
            peaks = [
                f"{each.events:,}: {each.peak:.0f} ({each.peak / first.peak - 1:+.0%})"
                for each in same
            ]
            lines.append([f"{first.act}, {first.database}", *peaks])
    print("\n" + aligned(("peak MB by events", *[""] * (len(lines[0]) - 1)), lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
