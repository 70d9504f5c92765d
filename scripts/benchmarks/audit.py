"""`scripts/bench audit`: time seals of the audit log, their verification and exports.

For each database and number of entries, spread over three years, in a home directory of its own:
the commands that seal all of it, verify it, export it to a file and verify that file. Each is a
process of its own. The baseline of the first two reads the same rows in the same order and adds
them to one SHA-256. The baseline of the export lets the database write them as JSON, hashes it and
writes it to a file. The baseline of the last parses each line of this file and adds it to one
SHA-256. Baselines are processes without Django. All alternate, and the median of each counts. Peak
memory is divided by the peak memory with the smallest number of entries.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.databases import Database, empty_home, run_on_databases
from scripts.benchmarks.large_server import ServerSize, fill_server
from scripts.benchmarks.metrics import MIB, BenchmarkError, describe_host, format_table
from scripts.benchmarks.rooms_timer import Run, time_pipeline, time_scaiwave
from scripts.benchmarks.search import connect

ENTRIES = (20_000, 200_000)
SEAL, VERIFY, EXPORT, VERIFY_FILE = "seal", "verify", "export", "verify FILE"
ROWS, JSON, LINES = "SELECT, SHA-256", "JSON by the database, SHA-256", "parse lines, SHA-256"
BASELINES = {SEAL: ROWS, VERIFY: ROWS, EXPORT: JSON, VERIFY_FILE: LINES}
TITLES = ("seconds", "processor", "entries/s", "÷ baseline", "range", "peak MB", "÷ smallest")
NOTES = """\
seconds: from start to end of the process; of ours, a second is the start of Django. processor:
seconds of this process, without PostgreSQL. ÷ baseline: seconds divided by the baseline's in the
same round; median, lowest and highest."""
_SEALS = ("sw_audit_seal_parts", "sw_audit_seals", "sw_audit_chain")


def measure_database(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    sizes: list[dict[str, Any]] = []
    for entries in options.entries:
        runs = _measure_runs(database, entries, options.repeat)
        smallest = sizes[0]["runs"] if sizes else runs
        sizes.append({"entries": entries, "runs": runs})
        print(f"\n{describe_host(database.title)}\n{entries:,} entries, {options.repeat} rounds")
        print(format_table(("", *TITLES), list(build_rows(entries, runs, smallest))), flush=True)
    return {"database": database.title, "sizes": sizes}


def _measure_runs(database: Database, entries: int, repeat: int) -> dict[str, list[Run]]:
    """Return the runs of each command and baseline by name."""
    runs: dict[str, list[Run]] = {}
    with empty_home(database) as environment, tempfile.TemporaryDirectory() as directory:
        exported, plain = Path(directory) / "export.jsonl", Path(directory) / "plain.json"
        fill_server(environment, ServerSize(100, 300, 10, entries))
        scaiwave = partial(time_scaiwave, environment=environment)
        scaiwave("admin", "federation", "key", "generate")
        audit = partial(scaiwave, "admin", "audit")
        baseline = partial(_time_baseline, environment)
        steps: dict[str, Callable[[], Run]] = {
            ROWS: lambda: baseline("rows"),
            SEAL: lambda: audit("seal"),
            VERIFY: lambda: audit("verify", "--json", target=plain),
            EXPORT: lambda: audit("export", target=exported),
            JSON: lambda: baseline("json", target=plain),
            VERIFY_FILE: lambda: audit("verify", str(exported)),
            LINES: lambda: baseline("lines", str(exported)),
        }
        for _ in range(repeat):
            _delete_seals(environment)
            for name, step in steps.items():
                runs.setdefault(name, []).append(step())
                if name == VERIFY:
                    _require_entries(plain, entries)
    return runs


def _time_baseline(environment: dict[str, str], *words: str, target: Path | None = None) -> Run:
    command = [sys.executable, "-m", "scripts.benchmarks.audit_baseline", *words]
    return time_pipeline(command, environment=environment, target=target)


def _delete_seals(environment: dict[str, str]) -> None:
    with connect(environment) as connection:
        for table in _SEALS:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants


def _require_entries(report: Path, entries: int) -> None:
    found = json.loads(report.read_bytes())["entries"]
    if found != entries:
        raise BenchmarkError(f"{found:,} entries were verified instead of {entries:,}.")


def build_rows(
    entries: int, runs: dict[str, list[Run]], smallest: dict[str, list[Run]]
) -> Iterator[list[str]]:
    for name, each in runs.items():
        seconds, processor = (median(run[key] for run in each) for key in ("seconds", "processor"))
        figures = [name, f"{seconds:.2f}", f"{processor:.2f}", f"{entries / seconds:,.0f}"]
        if name not in BASELINES:
            yield [*figures, "-", "-", "-", "-"]
            continue
        ratios = [
            ours["seconds"] / plain["seconds"]
            for ours, plain in zip(each, runs[BASELINES[name]], strict=True)
        ]
        peak, before = (
            median(run["peak_memory"] for run in all_[name]) for all_ in (runs, smallest)
        )
        yield [
            *figures,
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{peak / MIB:.0f}",
            f"{peak / before:.2f}",
        ]


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    code = run_on_databases(
        options.database, partial(measure_database, options=options), options.json
    )
    if code == 0:
        print(f"\n{NOTES}")
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench audit", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "--entries",
        type=int,
        nargs="+",
        default=ENTRIES,
        metavar="N",
        help="numbers of entries, the smallest first (default 20000 200000)",
    )
    add("--repeat", type=int, default=3, metavar="N", help="rounds (default 3)")
    add("--database", choices=("sqlite", "postgresql"), default="", help="only this database")
    add("--json", type=Path, metavar="FILE", help="also write all runs to FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
