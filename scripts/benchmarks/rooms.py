"""`scripts/bench rooms`: time room export and import against a baseline of the same rows.

For each database and number of events, in a home directory of its own: `scaiwave room export` of a
room with sample data to /dev/null, against the database writing the same rows as JSON; then
`scaiwave room import` of the bundle into an empty table, against inserting the very rows that it
wrote. Each run is a process of its own, and all kinds alternate. Before each import the table is
empty and the database is idle.

On request, also an export of all rooms of a tenant against a loop that writes and syncs the same
files, an export of a room with many small files against `zip -0`, and both directions for large
files against `cat` and `cp`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from scripts.benchmarks.databases import (
    POSTGRES_URL,
    Database,
    empty_home,
    exit_on_termination,
    open_databases,
)
from scripts.benchmarks.metrics import BenchmarkError, describe_host, format_table
from scripts.benchmarks.rooms_baseline import (
    BINARY,
    COPY_FROM,
    GZIP,
    IGZIP,
    JSON_OBJECT,
    ROW_TO_JSON,
    Baseline,
    make_baseline,
)
from scripts.benchmarks.rooms_media import measure_media
from scripts.benchmarks.rooms_report import LIST_TENANTS, START, Block
from scripts.benchmarks.rooms_small import measure_attachments, measure_rooms
from scripts.benchmarks.rooms_timer import (
    EXPORT,
    IMPORT,
    TENANT,
    WORKSPACE,
    seed_sample_rooms,
    slow_disk,
    time_pipeline,
    time_scaiwave,
)
from tests.services.unprivileged_user import ServiceUnavailable

LIST_WORDS = ("admin", "list-tenants", "--quiet")
DUMPDATA = "Django dumpdata"
MAX_DUMPDATA_EVENTS = MAX_START_EVENTS = 10_000
MIN_TARGET_EVENTS = 1_000_000
NOTES = f"""\
Medians, and the lowest and highest ratio of a round. ours ÷ this: our speed divided by
the line's. Every figure of `scaiwave` includes the start of Python and Django.
The PostgreSQL that this program starts does not wait for the disk; {POSTGRES_URL} names another.
With --sync-ms the syncs of `scaiwave` and of the loop take longer, a server's don't."""

_TARGETS = {
    ROW_TO_JSON: 0.7,
    ROW_TO_JSON + GZIP: 1.1,
    ROW_TO_JSON + IGZIP: 0.9,
    BINARY: 0.5,
    JSON_OBJECT: 0.5,
    COPY_FROM: 0.75,
}


def main(arguments: list[str]) -> int:
    parser = _build_parser()
    options = parser.parse_args(arguments)
    if options.sync_ms and not options.rooms:
        parser.error("--sync-ms needs --rooms.")
    exit_on_termination()
    blocks: list[Block] = []
    try:
        slow_disk(options.sync_ms)  # Something missing is reported now, not after an hour.
        with ExitStack() as stack:
            databases = list(open_databases(options.database, stack))
            print(describe_host(*(database.title for database in databases)))
            print(f"{options.repeat} runs of each.\n\n{NOTES}", flush=True)
            for database in databases:
                for block in _measure_database(database, options):
                    print("\n" + block.format(), flush=True)
                    blocks.append(block)
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
    add("--rooms", type=int, default=0, help="also export all of so many rooms")
    add(
        "--sync-ms",
        type=float,
        default=0,
        metavar="MS",
        help="also export all rooms, and run the loop, with a disk that takes MS milliseconds "
        "longer for every sync; needs strace",
    )
    add("--attachments", type=int, default=0, help="also export a room with so many small files")
    add("--media-gb", type=float, default=0, help="also measure a room with so many GB of files")
    add("--database", choices=("sqlite", "postgresql", "both"), default="both")
    add(
        "--repeat",
        type=int,
        default=3,
        help="runs of each, one of each kind after the other (default 3)",
    )
    add("--json", type=Path, metavar="FILE", help="also write every run to FILE")
    return parser


def _parse_sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _measure_database(database: Database, options: argparse.Namespace) -> Iterator[Block]:
    for events in options.events:
        yield from _measure_events(database, events, options.repeat)
    if options.rooms:
        delays = sorted({0, options.sync_ms})
        yield from measure_rooms(database, options.rooms, options.repeat, delays)
    if options.attachments:
        yield measure_attachments(database, options.attachments, options.repeat)


def _measure_events(database: Database, events: int, repeat: int) -> Iterator[Block]:
    targets = _TARGETS if events >= MIN_TARGET_EVENTS else {LIST_TENANTS: 0.5}
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as directory:
        bundle = Path(directory) / "bundle.zip"
        with empty_home(database) as environment:
            block = Block(database.title, EXPORT, events, targets=targets)
            _fill_export(block, make_baseline(database, environment, bundle), bundle, repeat)
        yield block
        with empty_home(database) as environment:
            block = Block(database.title, IMPORT, events, targets=targets)
            baseline = make_baseline(database, environment, bundle.with_name("rows"))
            _fill_import(block, baseline, bundle, repeat)
        yield block


def _fill_export(block: Block, baseline: Baseline, bundle: Path, repeat: int) -> None:
    environment = baseline.environment
    room = seed_sample_rooms(environment, bundle, "--events", str(block.items))["rooms"][0]["id"]
    empty = seed_sample_rooms(environment, bundle, "--events", "0")["rooms"][0]["id"]
    export = ("room", "export", "--tenant", TENANT, "--quiet")
    baseline.settle()
    for _ in range(repeat):
        block.add(EXPORT, time_scaiwave(*export, room, environment=environment))
        for name, pipeline in baseline.export_pipelines(room).items():
            block.add(name, time_pipeline(*pipeline, environment=environment))
        if block.items <= MAX_DUMPDATA_EVENTS:
            dump = [sys.executable, "manage.py", "dumpdata", "rooms.event", "--skip-checks"]
            block.add(DUMPDATA, time_pipeline(dump, environment=environment))
        block.add(START, time_scaiwave(*export, empty, environment=environment))
        if block.items <= MAX_START_EVENTS:
            block.add(LIST_TENANTS, time_scaiwave(*LIST_WORDS, environment=environment))
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
        if not 0.9 * block.items < imported <= block.items:
            raise BenchmarkError(f"The import wrote {imported} of {block.items} events.")
        block.add(IMPORT, run)
        baseline.clear_events()
        baseline.settle()
        block.add(*baseline.restore_rows())


def _print_memory_growth(blocks: list[Block]) -> None:
    """Print the peak memory by number of events, and its growth over the smallest."""
    lines = []
    blocks = [block for block in blocks if block.unit == "events"]
    for first in blocks:
        same = [each for each in blocks if (each.database, each.act) == (first.database, first.act)]
        if same[0] is first:
            peaks = [
                f"{each.items:,}: {each.peak:.0f} ({each.peak / first.peak - 1:+.0%})"
                for each in same
            ]
            lines.append([f"{first.act}, {first.database}", *peaks])
    if lines:
        print("\n" + format_table(("peak MB by events", *[""] * (len(lines[0]) - 1)), lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
