"""Time export and import of a room with large files, against `cat` and `cp` of the files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from statistics import median

from scripts.benchmarks.databases import Database, empty_home
from scripts.benchmarks.metrics import MIB, format_table
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

FILE_BYTES = 8 * MIB
TITLES = ("seconds", "MB/s", "ours ÷ line above", "peak MB")
Runs = dict[str, list[Run]]
_COPY = 'cp -r "$1" "$2" && find "$2" -type f -exec sync {} +'


def measure_media(database: Database, gigabytes: float, repeat: int) -> str:
    """Return a table as text. The room has one event per file."""
    runs: Runs = {}
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as directory:
        bundle = Path(directory) / "bundle.zip"
        with empty_home(database) as environment:
            files = Path(environment["SCAIWAVE_HOME"]) / "media"
            count = round(gigabytes * 1024 * MIB / FILE_BYTES)
            _fill_export(runs, environment, count, bundle, repeat)
            size = sum(file.stat().st_size for file in files.rglob("*") if file.is_file())
            for _ in range(repeat):
                copy = ["sh", "-c", _COPY, "sh", str(files), str(bundle.with_name("copy"))]
                runs.setdefault("cp, and sync of each file", []).append(
                    time_pipeline(copy, environment=environment)
                )
                shutil.rmtree(bundle.with_name("copy"))
                _add_import(runs, database, bundle)
    heading = f"{database.title}, {size / 1024 / MIB:.1f} GB in files of {FILE_BYTES // MIB} MB"
    return format_table((heading, *TITLES), _build_rows(runs, size))


def _fill_export(
    runs: Runs, environment: dict[str, str], files: int, bundle: Path, repeat: int
) -> None:
    sizes = ("--events", str(files), "--media", str(files), "--media-bytes", str(FILE_BYTES))
    room = seed_sample_rooms(environment, bundle, *sizes)["rooms"][0]["id"]
    export = ("room", "export", room, "--tenant", TENANT, "--quiet")
    stored = Path(environment["SCAIWAVE_HOME"]) / "media" / "tenant"
    cat = ["find", str(stored), "-type", "f", "-exec", "cat", "{}", "+"]
    for _ in range(repeat):
        runs.setdefault("cat", []).append(time_pipeline(cat, environment=environment))
        runs.setdefault(EXPORT, []).append(time_scaiwave(*export, environment=environment))
    time_scaiwave(*export, environment=environment, target=bundle)


def _add_import(runs: Runs, database: Database, bundle: Path) -> None:
    """Import into a home directory of its own, since stored files are not stored again."""
    answer = bundle.with_name("answer.json")
    with empty_home(database) as environment:
        owner = seed_sample_rooms(environment, answer, "--rooms", "0")["owner_id"]
        words = ("room", "import", WORKSPACE, "--tenant", TENANT, "--as", owner, "--json")
        runs.setdefault(IMPORT, []).append(
            time_scaiwave(*words, environment=environment, source=bundle)
        )


def _build_rows(runs: Runs, size: int) -> list[list[str]]:
    """Compare each of our lines with the line above it."""
    lines, before = [], 0.0
    for name, each in runs.items():
        seconds = median(run["seconds"] for run in each)
        is_ours = name in {EXPORT, IMPORT}
        peak = max(run.get("peak_memory", 0) for run in each) / MIB
        lines.append(
            [
                name,
                f"{seconds:.2f}",
                f"{size / MIB / seconds:,.0f}",
                f"{before / seconds:.2f}" if is_ours else "-",
                f"{peak:.0f}" if is_ours else "-",
            ]
        )
        before = seconds
    return lines
