"""`scripts/bench admin`: the admin site on a large server.

The queries and seconds of the overview, built and stored, and of every list (also with each search,
filter and order) and page, as the median of several runs. It prints the overview and the slowest.
A page is rendered by Django's test client, without a web server and a network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.databases import TOP, Database, empty_home, run_on_databases
from scripts.benchmarks.large_server import ServerSize, fill_server
from scripts.benchmarks.metrics import BenchmarkError, describe_host, format_table

SIZE = ServerSize(tenants=10_000, people=200_000, rooms=50_000, audit_entries=1_000_000)
SHOWN = 12


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    size = SIZE.scale(options.divisor)

    def measure(database: Database) -> dict[str, Any]:
        return _measure_database(database, size, options.runs, options.only)

    return run_on_databases(options.database, measure, options.json)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench admin", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--database", choices=("sqlite", "postgresql"), help="only this one (default both)")
    add("--runs", type=int, default=3, help="runs of each page (default 3)")
    add("--divisor", type=int, default=1, metavar="N", help="only 1/N of the rows (default 1)")
    add("--only", default="", metavar="TEXT", help="only pages whose names contain this text")
    add("--json", type=Path, metavar="FILE", help="also write the measurements to FILE")
    return parser


def _measure_database(database: Database, size: ServerSize, runs: int, only: str) -> dict[str, Any]:
    with empty_home(database) as environment:
        fill_server(environment, size)
        _run("large_history", environment=environment)
        rows = ", ".join(f"{count:,} {name}" for name, count in asdict(size).items())
        print(describe_host(database.title), rows.replace("_", " "), sep="\n", flush=True)
        timer = _run("admin_timer", str(runs), only, environment=environment)
        result: dict[str, Any] = json.loads(timer)
    print("\n" + _format(result), end="\n\n", flush=True)
    return {"database": database.title, **asdict(size), **result}


def _run(module: str, *words: str, environment: dict[str, str]) -> str:
    process = subprocess.run(
        [sys.executable, "-m", f"scripts.benchmarks.{module}", *words],
        cwd=TOP,
        env={
            **environment,
            "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
            "SCAIWAVE_PROFILE": "full",
        },
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if process.returncode:
        raise BenchmarkError(f"{module} failed:\n{process.stderr}")
    return process.stdout


def _format(result: dict[str, Any]) -> str:
    """Return the overview, the most queries of lists and of pages, and the slowest of them."""
    pages = sorted(result["pages"], key=lambda page: median(page["seconds"]), reverse=True)
    lists = [page for page in pages if page["is_list"]]
    rows = [page for page in pages if not page["is_list"]]
    lines = [
        _format_row("overview, built", result["cold"]),
        _format_row("overview, stored", result["stored"]),
        *(_format_row(page["name"], page) for page in pages[:SHOWN]),
    ]
    summary = [
        f"{len(kind)} {title}: at most {max(page['queries'] for page in kind)} queries, median "
        f"{median(median(page['seconds']) for page in kind) * 1000:.0f} ms"
        for kind, title in ((lists, "lists"), (rows, "pages"))
    ]
    return "\n".join([format_table(("page", "queries", "ms"), lines), "", *summary])


def _format_row(name: str, page: dict[str, Any]) -> tuple[str, str, str]:
    return name, str(page["queries"]), f"{median(page['seconds']) * 1000:.0f}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
