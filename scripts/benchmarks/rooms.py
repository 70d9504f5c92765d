"""`scripts/bench rooms`: time room export and import against a baseline of the same rows.

For each database and number of events, in a home directory of its own: `scaiwave room export` of a
room with sample data to /dev/null, against the database writing the same rows as JSON; then
`scaiwave room import` of the bundle into an empty table, against inserting the very rows that it
wrote. Each run is a process of its own, all kinds alternate, and the median of each counts. Before
each import the table is empty and the database is idle.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from scripts.benchmarks.databases import (
    POSTGRES_URL,
    Database,
    empty_home,
    exit_on_termination,
    open_databases,
)
from scripts.benchmarks.metrics import MIB, BenchmarkError, describe_host, format_table
from scripts.benchmarks.rooms_baseline import Baseline, make_baseline
from scripts.benchmarks.rooms_media import measure_media
from scripts.benchmarks.rooms_timer import (
    EXPORT,
    IMPORT,
    TENANT,
    WORKSPACE,
    Run,
    seed_sample_rooms,
    time_pipeline,
    time_scaiwave,
)
from tests.services.unprivileged_user import ServiceUnavailable

START, LESS_START = "… of an empty room", "… without start-up"
DUMPDATA = "Django dumpdata"
MAX_DUMPDATA_EVENTS = 10_000
TITLES = ("seconds", "rows/s", "ours ÷ this", "target", "peak MB")
NOTES = f"""\
ours ÷ this: our rows per second divided by those of the line. Every figure includes start-up:
{START!r} shows ours, and {LESS_START!r} the rest.
The PostgreSQL that this program starts does not wait for the disk; {POSTGRES_URL} names another."""

_TARGETS = {
    f"{program} {operation}": target
    for programs, operation, target in (
        (("psql", "psycopg"), "COPY row_to_json", 0.7),
        (("psql", "psycopg"), "COPY row_to_json | gzip -1", 1.1),
        (("sqlite3", "Python sqlite3"), "json_object", 0.5),
        (("psql", "psycopg"), "COPY FROM", 0.75),
    )
    for program in programs
}


@dataclass
class Block:
    """All runs on one database with one number of events, by name; the first is ours."""

    database: str
    act: str
    events: int
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, name: str, run: Run) -> None:
        self.runs.setdefault(name, []).append(run)

    def get_seconds(self, name: str) -> float:
        seconds: list[float] = [run["seconds"] for run in self.runs[name]]
        return median(seconds)

    @property
    def peak(self) -> float:
        """Return the highest memory use of our runs, in MB."""
        peaks: list[int] = [run["peak_memory"] for run in self.runs[self.act]]
        return max(peaks) / MIB

    def build_rows(self) -> Iterator[list[str]]:
        our_seconds = self.get_seconds(self.act)
        for name in self.runs:
            if name == START:
                yield from self._build_start_rows(our_seconds)
                continue
            seconds = self.get_seconds(name)
            ratio = "-" if name == self.act else f"{seconds / our_seconds:.2f}"
            target = f"≥ {_TARGETS[name]:g}" if name in _TARGETS else "-"
            peak = f"{self.peak:.0f}" if name == self.act else "-"
            yield [name, f"{seconds:.2f}", self._format_rate(seconds), ratio, target, peak]

    def _build_start_rows(self, our_seconds: float) -> Iterator[list[str]]:
        start = self.get_seconds(START)
        yield [START, f"{start:.2f}", "-", "-", "-", "-"]
        yield [
            LESS_START,
            f"{our_seconds - start:.2f}",
            self._format_rate(our_seconds - start),
            "-",
            "-",
            "-",
        ]

    def _format_rate(self, seconds: float) -> str:
        return f"{self.events / seconds:,.0f}"


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    exit_on_termination()
    blocks: list[Block] = []
    try:
        with ExitStack() as stack:
            databases = list(open_databases(options.database, stack))
            print(describe_host(*(database.title for database in databases)))
            print(
                f"Median of {options.repeat} runs each.\n\n{NOTES}",
                flush=True,
            )
            for database in databases:
                for events in options.events:
                    blocks += _measure_database(database, events, options.repeat)
                if options.media_gb:
                    print("\n" + measure_media(database, options.media_gb, options.repeat))
    except (ServiceUnavailable, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    _print_memory_growth(blocks)
    if options.json:
        options.json.write_text(json.dumps([asdict(block) for block in blocks], indent=1) + "\n")
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench rooms", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "--events",
        type=_parse_sizes,
        default=[10_000, 100_000],
        help="numbers of events (default 10000,100000)",
    )
    add("--media-gb", type=float, default=0, help="also measure a room with so many GB of files")
    add("--database", choices=("sqlite", "postgresql", "both"), default="both")
    add(
        "--repeat",
        type=int,
        default=3,
        help="runs of each kind, of which the median counts (default 3)",
    )
    add("--json", type=Path, metavar="FILE", help="also write every run to FILE")
    return parser


def _parse_sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _measure_database(database: Database, events: int, repeat: int) -> Iterator[Block]:
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as directory:
        bundle = Path(directory) / "bundle.zip"
        with empty_home(database) as environment:
            block = Block(database.title, EXPORT, events)
            _fill_export(block, make_baseline(database, environment, bundle), bundle, repeat)
        yield _print_block(block)
        with empty_home(database) as environment:
            block = Block(database.title, IMPORT, events)
            baseline = make_baseline(database, environment, bundle.with_name("rows"))
            _fill_import(block, baseline, bundle, repeat)
        yield _print_block(block)


def _print_block(block: Block) -> Block:
    heading = f"{block.database}, {block.events:,} events"
    print("\n" + format_table((heading, *TITLES), list(block.build_rows())), flush=True)
    return block


def _fill_export(block: Block, baseline: Baseline, bundle: Path, repeat: int) -> None:
    environment = baseline.environment
    room = seed_sample_rooms(environment, bundle, "--events", str(block.events))["rooms"][0]["id"]
    empty = seed_sample_rooms(environment, bundle, "--events", "0")["rooms"][0]["id"]
    export = ("room", "export", "--tenant", TENANT, "--quiet")
    baseline.settle()
    for _ in range(repeat):
        block.add(EXPORT, time_scaiwave(*export, room, environment=environment))
        for name, pipeline in baseline.export_pipelines(room).items():
            block.add(name, time_pipeline(*pipeline, environment=environment))
        if block.events <= MAX_DUMPDATA_EVENTS:
            dump = [sys.executable, "manage.py", "dumpdata", "rooms.event", "--skip-checks"]
            block.add(DUMPDATA, time_pipeline(dump, environment=environment))
        block.add(START, time_scaiwave(*export, empty, environment=environment))
    time_scaiwave(*export, room, environment=environment, target=bundle)


def _fill_import(block: Block, baseline: Baseline, bundle: Path, repeat: int) -> None:
    environment = baseline.environment
    answer = bundle.with_name("answer.json")
    owner = seed_sample_rooms(environment, answer, "--rooms", "0")["owner_id"]
    words = ("room", "import", WORKSPACE, "--tenant", TENANT, "--as", owner, "--json")
    for _ in range(repeat):
        baseline.clear_events()
        baseline.settle()
        run = time_scaiwave(*words, environment=environment, source=bundle, target=answer)
        room = json.loads(answer.read_bytes())["room"]["id"]
        imported = baseline.save_rows(room)
        if not 0.9 * block.events < imported <= block.events:
            raise BenchmarkError(f"The import wrote {imported} of {block.events} events.")
        block.add(IMPORT, run)
        baseline.clear_events()
        baseline.settle()
        block.add(*baseline.restore_rows())


def _print_memory_growth(blocks: list[Block]) -> None:
    """Print the peak memory by number of events, and its growth over the smallest."""
    lines = []
    for first in blocks:
        same = [each for each in blocks if (each.database, each.act) == (first.database, first.act)]
        if same[0] is first:
            peaks = [
                f"{each.events:,}: {each.peak:.0f} ({each.peak / first.peak - 1:+.0%})"
                for each in same
            ]
            lines.append([f"{first.act}, {first.database}", *peaks])
    print("\n" + format_table(("peak MB by events", *[""] * (len(lines[0]) - 1)), lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
