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
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks import rooms_baseline
from scripts.benchmarks.harness import (
    MIB,
    POSTGRES_URL,
    TENANT,
    Database,
    Rounds,
    empty_home,
    prepare_import,
    seed_room,
    seed_rooms,
)
from scripts.benchmarks.processes import (
    BenchmarkError,
    build_call,
    call,
    slow_disk,
    time_pipeline,
    time_scaiwave,
)

EVENTS = "10000,100000"
EXPORT, IMPORT = "scaiwave room export", "scaiwave room import"
EXPORT_WORDS = ("room", "export", "--tenant", TENANT, "--quiet")
EXPORT_ALL = f"{EXPORT} --all"
LIST_TENANTS = "scaiwave admin list-tenants"
"""This starts Python and Django, and handles no items."""
LIST_WORDS = ("admin", "list-tenants", "--quiet")
LOOP, ZIP = "write and sync each file", "zip -0"
CAT, CP = "cat", "cp, and sync of each file"
_COPY = 'cp -r "$1" "$2" && find "$2" -type f -exec sync {} +'

MAX_SMALL_EVENTS = 10_000
"""Up to here, the start counts."""
MIN_TARGET_EVENTS = 1_000_000
EVENTS_PER_ROOM = 200
SMALL_FILE_BYTES = 1000
LARGE_FILE_BYTES = 8 * MIB

NOTES = f"""\
Every figure of `scaiwave` includes the start of Python and Django.
The PostgreSQL that this program starts does not wait for the disk; {POSTGRES_URL} names another.
With --sync-ms the syncs of `scaiwave` and of the loop take longer, a server's don't."""
TARGETS = {
    rooms_baseline.ROW_TO_JSON: 0.7,
    rooms_baseline.ROW_TO_JSON + rooms_baseline.GZIP: 1.1,
    rooms_baseline.ROW_TO_JSON + rooms_baseline.IGZIP: 0.9,
    rooms_baseline.TEXT + rooms_baseline.IGZIP: 0.8,
    rooms_baseline.BINARY: 0.55,
    rooms_baseline.JSON_OBJECT: 0.5,
    rooms_baseline.COPY_FROM: 0.75,
}
SMALL_TARGETS = {LIST_TENANTS: 0.5, LOOP: 0.5, ZIP: 0.5}


@dataclass
class Block:
    """The runs of an act on so many items, and of its baselines. `runs` begin with the act."""

    act: str
    items: int
    unit: str = "events"
    targets: Mapping[str, float] = field(default_factory=lambda: SMALL_TARGETS)
    runs: Rounds = field(default_factory=Rounds)


def add_options(add: Callable[..., Any]) -> None:
    add("--rooms", type=int, default=0, help="also export all of so many rooms")
    add(
        "--sync-ms",
        type=float,
        default=0,
        metavar="MS",
        help="with --rooms: also export all rooms, and run the loop, with a disk that takes MS "
        "milliseconds longer for every sync; needs strace",
    )
    add("--attachments", type=int, default=0, help="also export a room with so many small files")
    add("--media-gb", type=float, default=0, help="also measure a room with so many GB of files")


def check_options(options: argparse.Namespace) -> None:
    if options.sync_ms and not options.rooms:
        raise BenchmarkError("--sync-ms needs --rooms.")
    slow_disk(options.sync_ms)


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    blocks = []
    for block in _measure_blocks(database, options):
        comparisons = {
            name: (block.act, f"≥ {block.targets[name]:g}" if name in block.targets else "")
            for name in [*block.runs][1:]
        }
        heading = f"{database.title}, {block.items:,} {block.unit}"
        block.runs.print_table(heading, comparisons, items=block.items)
        blocks.append(asdict(block))
    return {"database": database.title, "blocks": blocks}


def _measure_blocks(database: Database, options: argparse.Namespace) -> Iterator[Block]:
    repeat = options.repeat
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as scratch:
        directory = Path(scratch)
        for events in options.events:
            yield from _measure_events(database, events, directory, repeat)
        if options.rooms:
            for delay in sorted({0, options.sync_ms}):
                yield _measure_rooms(database, options.rooms, directory, repeat, delay)
        if options.attachments:
            yield _measure_attachments(database, options.attachments, repeat)
        if options.media_gb:
            yield from _measure_media(database, options.media_gb, directory, repeat)


def _measure_events(
    database: Database, events: int, directory: Path, repeat: int
) -> Iterator[Block]:
    targets = TARGETS if events >= MIN_TARGET_EVENTS else SMALL_TARGETS
    make_baseline: Callable[..., rooms_baseline.PostgreSQL | rooms_baseline.SQLite]
    make_baseline = rooms_baseline.PostgreSQL if database.server else rooms_baseline.SQLite
    bundle = directory / "bundle.zip"
    with empty_home(database) as environment:
        block = Block(EXPORT, events, targets=targets)
        baseline = make_baseline(environment, directory / "rows")
        room = seed_room(environment, "--events", str(events))
        export = partial(time_scaiwave, *EXPORT_WORDS, room, environment=environment)
        baseline.settle()
        for _ in range(repeat):
            block.runs.add(EXPORT, export())
            for name, pipeline in baseline.export_pipelines(room).items():
                block.runs.add(name, time_pipeline(*pipeline, environment=environment))
            if events <= MAX_SMALL_EVENTS:
                start = time_scaiwave(*LIST_WORDS, environment=environment)
                block.runs.add(LIST_TENANTS, start)
        export(target=bundle)
    yield block
    with empty_home(database) as environment:
        block = Block(IMPORT, events, targets=targets)
        baseline = make_baseline(environment, directory / "rows")
        import_bundle = prepare_import(environment)
        for _ in range(repeat):
            baseline.clear_events()
            baseline.settle()
            answer = directory / "answer.json"
            block.runs.add(IMPORT, import_bundle(source=bundle, target=answer))
            imported = baseline.save_rows(json.loads(answer.read_bytes())["room"]["id"])
            if not 0.9 * events < imported <= events:
                raise BenchmarkError(f"The import wrote {imported} of {events} events.")
            baseline.clear_events()
            baseline.settle()
            block.runs.add(*baseline.restore_rows())
    yield block


def _measure_rooms(
    database: Database, rooms: int, directory: Path, repeat: int, delay: float
) -> Block:
    """Compare an export of all rooms with a loop that writes and syncs the same files.

    Every sync takes `delay` milliseconds longer.
    """
    disk = f", each sync {delay:g} ms longer" if delay else ""
    block = Block(EXPORT_ALL, rooms, f"rooms of {EVENTS_PER_ROOM} events{disk}")
    bundles, copies = directory / "bundles", directory / "copies"
    with empty_home(database) as environment:
        seed_rooms(environment, "--rooms", str(rooms), "--events", str(EVENTS_PER_ROOM))
        words = (*EXPORT_WORDS, "--all", "--output-dir", str(bundles))
        for _ in range(repeat):
            run = time_scaiwave(*words, environment=environment, sync_ms=delay)
            block.runs.add(EXPORT_ALL, run)
            # Without the start of Python, and the time for reading the files.
            paths = (str(bundles), str(copies))
            run = call(rooms_baseline.write, *paths, environment=environment, sync_ms=delay)
            block.runs.add(LOOP, run)
            shutil.rmtree(bundles)
            shutil.rmtree(copies)
    return block


def _measure_attachments(database: Database, files: int, repeat: int) -> Block:
    """Compare the export of a room with so many files with `zip` of the stored ones."""
    block = Block(EXPORT, files, f"attachments of {SMALL_FILE_BYTES:,} bytes")
    with empty_home(database) as environment:
        sizes = ("--media", str(files), "--media-bytes", str(SMALL_FILE_BYTES))
        room = seed_room(environment, "--events", "10", *sizes)
        stored = str(Path(environment["SCAIWAVE_HOME"]) / "media" / "tenant")
        archive = build_call(rooms_baseline.zip_files, stored)
        if shutil.which("zip"):
            archive = ["zip", "-0", "-q", "-r", "-", stored]
        for _ in range(repeat):
            block.runs.add(EXPORT, time_scaiwave(*EXPORT_WORDS, room, environment=environment))
            block.runs.add(ZIP, time_pipeline(archive, environment=environment))
    return block


def _measure_media(
    database: Database, gigabytes: float, directory: Path, repeat: int
) -> Iterator[Block]:
    """Compare both directions of a room with large files with copies of the stored ones.

    The room has one event per file. The items are megabytes.
    """
    files = round(gigabytes * 1024 * MIB / LARGE_FILE_BYTES)
    bundle, copies = directory / "media.zip", directory / "copies"
    with empty_home(database) as environment:
        sizes = ("--media", str(files), "--media-bytes", str(LARGE_FILE_BYTES))
        room = seed_room(environment, "--events", str(files), *sizes)
        stored = Path(environment["SCAIWAVE_HOME"]) / "media" / "tenant"
        size = sum(file.stat().st_size for file in stored.rglob("*") if file.is_file())
        unit = f"MB in files of {LARGE_FILE_BYTES // MIB} MB"
        exports, imports = (Block(act, size // MIB, unit) for act in (EXPORT, IMPORT))
        cat = ["find", str(stored), "-type", "f", "-exec", "cat", "{}", "+"]
        for _ in range(repeat):
            run = time_scaiwave(*EXPORT_WORDS, room, environment=environment)
            exports.runs.add(EXPORT, run)
            exports.runs.add(CAT, time_pipeline(cat, environment=environment))
        time_scaiwave(*EXPORT_WORDS, room, environment=environment, target=bundle)
        for _ in range(repeat):
            # A home directory of its own, since stored files are not stored again.
            with empty_home(database) as new_environment:
                imports.runs.add(IMPORT, prepare_import(new_environment)(source=bundle))
            copy = ["sh", "-c", _COPY, "sh", str(stored), str(copies)]
            imports.runs.add(CP, time_pipeline(copy, environment=environment))
            shutil.rmtree(copies)
    yield exports
    yield imports
