from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TOP = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "No benchmark was named."),
        (["nonsense"], "Unknown benchmark: nonsense."),
        (["all", "--fast"], "Unknown option of all: --fast."),
    ],
)
def test_fail_usage(words: list[str], error: str) -> None:
    process = subprocess.run(
        [TOP / "scripts/bench", *words], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr.splitlines()[0] == error


def test_success_every_benchmark_is_named() -> None:
    [names] = re.findall("^names='(.+)'$", (TOP / "scripts/bench").read_text(), re.MULTILINE)
    modules = (TOP / "scripts/benchmarks").glob("*.py")
    programs = {module.stem for module in modules if '"scripts/bench ' in module.read_text()}
    assert set(names.split()) == programs


def test_success_cli() -> None:
    """One run of each: the figures are meaningless, but must be there."""
    process = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.cli", "--runs", "1"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    lines = process.stdout.splitlines()
    assert lines[-2].startswith("scaiwave --help ")
    assert lines[-1].startswith("scaiwave admin list-tenants ")


def test_success_lists(tmp_path: Path) -> None:
    """A thousandth of the rows: the figures are meaningless, but must be there."""
    report = tmp_path / "report.json"
    size = ("--divisor", "1000", "--runs", "1", "--only", "admin list-groups")
    words = (*size, "--database", "sqlite", "--json", str(report))
    process = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.lists", *words],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    [database] = json.loads(report.read_text())
    lines = process.stdout.splitlines()
    for each in (*database["lists"], *database["memory"]):
        assert any(line.startswith(f"{each['command']}  ") for line in lines)


def test_success_admin(tmp_path: Path) -> None:
    """A thousandth of the rows: the seconds are meaningless, but must be there."""
    report = tmp_path / "report.json"
    words = ("--divisor", "1000", "--runs", "1", "--database", "sqlite", "--json", str(report))
    process = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.admin", *words],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    [database] = json.loads(report.read_text())
    assert database["cold"]["queries"] > database["stored"]["queries"] > 0
    assert "overview, stored" in process.stdout
    pages = database["pages"]
    assert {len(page["seconds"]) for page in pages} == {1}
    assert {"tenants.Tenant, a row (large)", "tenants.Tenant, tab Rooms (large)"} <= {
        page["name"] for page in pages
    }
