"""`scripts/bench rooms`, on rooms so small that only its workings are tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmarks.databases import sqlite_database
from scripts.benchmarks.metrics import BenchmarkError
from scripts.benchmarks.rooms_baseline import SQLite, make_baseline
from scripts.benchmarks.rooms_timer import time_pipeline

pytestmark = pytest.mark.once

TOP = Path(__file__).parents[2]
EXPORT, IMPORT = "scaiwave room export", "scaiwave room import"


def test_success_tables_and_single_runs(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    words = ("--events", "200", "--database", "sqlite", "--repeat", "1", "--media-gb", "0.02")
    process = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.rooms", *words, "--json", str(file)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    blocks = json.loads(file.read_text())
    acts = [(block["act"], block["events"]) for block in blocks]
    assert acts == [(EXPORT, 200), (IMPORT, 200)]
    for block in blocks:
        [own_run] = block["runs"].pop(block["act"])
        assert own_run["peak_memory"] > 0
        assert all(run["seconds"] > 0 for [run] in block["runs"].values())
    assert set(blocks[1]["runs"]) == {"bare executemany"}
    assert {"Django dumpdata", "… of an empty room"} < set(blocks[0]["runs"])
    lines = process.stdout.splitlines()
    for name in (EXPORT, IMPORT):
        assert sum(line.startswith(f"{name}  ") for line in lines) == 2  # also in the media table
    assert lines[-2].startswith(f"{EXPORT}, SQLite")
    assert " 200: " in lines[-1]


def test_success_without_the_sqlite3_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    baseline = make_baseline(
        sqlite_database(), {**os.environ, "SCAIWAVE_HOME": str(tmp_path)}, tmp_path / "rows"
    )
    assert isinstance(baseline, SQLite)
    [first, second] = baseline.export_pipelines("0")
    assert (first, second) == ("Python sqlite3 json_object", "Python sqlite3 json_object | gzip -1")


def test_fail_a_command_of_a_pipeline() -> None:
    false, cat = [sys.executable, "-c", "raise SystemExit(3)"], ["cat"]
    for pipeline in ([false], [false, cat], [cat, false]):
        with pytest.raises(BenchmarkError) as error:
            time_pipeline(*pipeline, environment=dict(os.environ))
        assert str(error.value) == f"`{sys.executable}` failed; see above."
