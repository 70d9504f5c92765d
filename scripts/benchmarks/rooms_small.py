"""Time many small pieces: an export of all rooms of a tenant, and of a room with small files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.databases import Database, empty_home
from scripts.benchmarks.rooms_baseline import SELF
from scripts.benchmarks.rooms_report import Block
from scripts.benchmarks.rooms_timer import (
    EXPORT,
    TENANT,
    seed_sample_rooms,
    time_pipeline,
    time_scaiwave,
)

EVENTS_PER_ROOM = 200
FILE_BYTES = 1000
EXPORT_ALL = f"{EXPORT} --all"
LOOP, ZIP = "write and sync each file", "zip -0"
TARGETS = {LOOP: 0.5, ZIP: 0.5}


def measure_rooms(
    database: Database, rooms: int, repeat: int, delays: Sequence[float]
) -> list[Block]:
    """Compare an export of all rooms with a loop that writes and syncs the same files.

    For each of `delays`, in milliseconds, by which every sync takes longer.
    """
    blocks = [
        Block(database.title, EXPORT_ALL, rooms, _name_rooms(delay), TARGETS) for delay in delays
    ]
    with (
        empty_home(database) as environment,
        tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as directory,
    ):
        bundles, seconds = Path(directory) / "bundles", Path(directory) / "seconds"
        sizes = ("--rooms", str(rooms), "--events", str(EVENTS_PER_ROOM))
        seed_sample_rooms(environment, Path(directory) / "answer.json", *sizes)
        export = ("room", "export", "--all", "--tenant", TENANT, "--quiet", "--output-dir")
        write = [*SELF, "write", str(bundles), str(Path(directory) / "copies")]
        for block, delay in zip(blocks * repeat, [*delays] * repeat, strict=True):
            run = time_scaiwave(*export, str(bundles), environment=environment, sync_ms=delay)
            block.add(EXPORT_ALL, run)
            run = time_pipeline(write, environment=environment, target=seconds, sync_ms=delay)
            # Without the start of Python, and the time for reading the files.
            block.add(LOOP, {**run, **json.loads(seconds.read_text())})
            for each in (bundles, Path(directory) / "copies"):
                shutil.rmtree(each)
    return blocks


def _name_rooms(delay: float) -> str:
    disk = f", each sync {delay:g} ms longer" if delay else ""
    return f"rooms of {EVENTS_PER_ROOM} events{disk}"


def measure_attachments(database: Database, files: int, repeat: int) -> Block:
    """Compare the export of a room with so many files with `zip` of the stored ones."""
    block = Block(database.title, EXPORT, files, f"attachments of {FILE_BYTES:,} bytes", TARGETS)
    with (
        empty_home(database) as environment,
        tempfile.NamedTemporaryFile(prefix="scaiwave-bench-") as answer,
    ):
        sizes = ("--events", "10", "--media", str(files), "--media-bytes", str(FILE_BYTES))
        room = seed_sample_rooms(environment, Path(answer.name), *sizes)["rooms"][0]["id"]
        stored = str(Path(environment["SCAIWAVE_HOME"]) / "media" / "tenant")
        if shutil.which("zip"):
            archive = ["zip", "-0", "-q", "-r", "-", stored]
        else:
            archive = [*SELF, "zip", stored]
        for _ in range(repeat):
            words = ("room", "export", room, "--tenant", TENANT, "--quiet")
            block.add(EXPORT, time_scaiwave(*words, environment=environment))
            block.add(ZIP, time_pipeline(archive, environment=environment))
    return block
