"""`scripts/bench sync`, on a directory so small that only its workings are tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.benchmarks import run_benchmark, run_successfully

pytestmark = [pytest.mark.ci, pytest.mark.once, pytest.mark.usefixtures("migrated_file")]

Capture = pytest.CaptureFixture[str]
NAMES = [
    "bare download",
    "raw download",
    "first sync",
    "second sync",
    "1% of people changed",
    "people moved to other tenants",
]


def test_success_table_and_single_runs(tmp_path: Path, capfd: Capture) -> None:
    file = tmp_path / "runs.json"
    sizes = ("--people", "200", "--partners", "1", "--tenants", "2", "--groups", "5")
    words = (*sizes, "--database", "sqlite", "--latency", "0", "--repeat", "1")
    printed = run_successfully("sync", *words, "--json", str(file), capfd=capfd)
    lines = [line for line in printed if line.startswith(tuple(NAMES))]
    assert [line.partition("  ")[0].partition(" (")[0] for line in lines] == NAMES
    [report] = json.loads(file.read_text())
    [block] = report["blocks"]
    assert list(block["runs"]) == NAMES
    bare, raw, first, second, changed, moved = (runs[0] for runs in block["runs"].values())
    # The same pages: the bare download requests everything that the sync requests.
    assert bare["requests"] == first["requests"] == second["requests"]
    # All of them but the token and a look at SCIM's configuration.
    assert 0 < bare["requests"] - raw["requests"] <= 2
    assert bare["rows"] == first["rows"] == first["changed"]
    assert second["changed"] == 0
    assert changed["kinds"]["participants"]["updated"] == 1
    people = moved["kinds"]["participants"]
    assert (people["deactivated"], people["added"]) == (67, 67)
    # Each move is confirmed by a look-up.
    assert moved["requests"] >= bare["requests"] + 67
    assert all(run["peak_memory"] > 0 for run in (bare, first, second, changed, moved))


def test_fail_no_postgresql_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("SCAIWAVE_TEST_POSTGRES", str(tmp_path))
    exit_code, output, errors = run_benchmark("sync", "--database", "postgresql", capfd=capfd)
    assert (exit_code, output) == (1, "")
    assert errors == (
        f"No usable PostgreSQL 15 or newer was found; tried {tmp_path} "
        "(No such file or directory). Install one, or set SCAIWAVE_TEST_POSTGRES to the directory "
        "of its programs.\n"
    )
