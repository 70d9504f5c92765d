"""`scripts/bench sync`, on a directory so small that only its workings are tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TOP = Path(__file__).parents[2]
NAMES = ["bare download", "first sync", "second sync", "1% of people changed"]


def run_benchmark(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.sync", *arguments],
        cwd=TOP,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_success_table_and_single_runs(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    sizes = ("--people", "200", "--partners", "1", "--tenants", "2", "--groups", "5")
    process = run_benchmark(
        *sizes, "--database", "sqlite", "--latency", "0", "--repeat", "1", "--json", str(file)
    )
    assert (process.returncode, process.stderr) == (0, "")
    lines = [line for line in process.stdout.splitlines() if line.startswith(tuple(NAMES))]
    assert [line.partition("  ")[0].partition(" (")[0] for line in lines] == NAMES
    [block] = json.loads(file.read_text())
    assert list(block["runs"]) == NAMES
    bare, first, second, changed = (runs[0] for runs in block["runs"].values())
    # The same pages: the bare download requests everything that the sync requests.
    assert bare["requests"] == first["requests"] == second["requests"]
    assert bare["rows"] == first["rows"] == first["changed"]
    assert second["changed"] == 0
    assert changed["kinds"]["participants"]["updated"] == 1
    assert all(run["peak_memory"] > 0 for run in (bare, first, second, changed))


def test_fail_no_postgresql_server(tmp_path: Path) -> None:
    process = run_benchmark("--database", "postgresql", SCAIWAVE_TEST_POSTGRES=str(tmp_path))
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == (
        f"No usable PostgreSQL 15 or newer was found; tried {tmp_path} "
        "(No such file or directory). Install one, or set SCAIWAVE_TEST_POSTGRES to the directory "
        "of its programs.\n"
    )
