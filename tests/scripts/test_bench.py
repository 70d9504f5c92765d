from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks.harness import run_benchmark
from tests.scripts import benchmarks
from tests.scripts.benchmarks import run_successfully

pytestmark = [pytest.mark.ci, pytest.mark.once, pytest.mark.usefixtures("migrated_file")]

Capture = pytest.CaptureFixture[str]
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
    programs = {module.stem for module in modules if "\ndef measure(" in module.read_text()}
    assert set(names.split()) == programs


@pytest.mark.parametrize("name", ["cli", "rooms", "sync"])
def test_success_help(name: str, capfd: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        run_benchmark(name, ["--help"])
    assert caught.value.code == 0
    assert f"scripts/bench {name}" in capfd.readouterr().out


def test_success_cli(capfd: Capture) -> None:
    lines = run_successfully("cli", "--runs", "1", capfd=capfd)
    first_words = [line.partition("  ")[0] for line in lines[-4:]]
    assert first_words[0] == "scaiwave --help"
    assert first_words[-1] == "scaiwave admin list-tenants"


def run_small(
    name: str, file: Path, *words: str, capfd: Capture
) -> tuple[list[str], dict[str, Any]]:
    """Run a benchmark on SQLite with a thousandth of the rows; return its lines and its report."""
    size = ("--divisor", "1000", "--runs", "1", "--database", "sqlite")
    lines = run_successfully(name, *size, *words, "--json", str(file), capfd=capfd)
    [report] = json.loads(file.read_text())
    return lines, report


def test_success_lists(tmp_path: Path, capfd: Capture) -> None:
    words = ("--only", "admin list-groups")
    lines, report = run_small("lists", tmp_path / "report.json", *words, capfd=capfd)
    for each in (*report["lists"], *report["memory"]):
        assert any(line.startswith(f"{each['command']}  ") for line in lines)


def test_success_admin(tmp_path: Path, capfd: Capture) -> None:
    words = ("--only", "tenants.Tenant")
    lines, report = run_small("admin", tmp_path / "report.json", *words, capfd=capfd)
    assert report["cold"]["queries"] > report["stored"]["queries"] > 0
    assert any(line.startswith("overview, stored") for line in lines)
    pages = report["pages"]
    assert {len(page["seconds"]) for page in pages} == {1}
    assert all("tenants.Tenant" in page["name"] for page in pages)
    assert {"tenants.Tenant, a row (large)", "tenants.Tenant, tab Rooms (large)"} <= {
        page["name"] for page in pages
    }


def test_success_audit(tmp_path: Path, capfd: Capture) -> None:
    words = ("--entries", "50", "--repeat", "1", "--database", "sqlite")
    file = str(tmp_path / "report.json")
    lines = run_successfully("audit", *words, "--json", file, capfd=capfd)
    [report] = json.loads((tmp_path / "report.json").read_text())
    assert [size["entries"] for size in report["sizes"]] == [50]
    for size in report["sizes"]:
        for name, runs in size["runs"].items():
            assert len(runs) == 1
            assert sum(line.startswith(f"{name}  ") for line in lines) == 1


def test_success_moves(tmp_path: Path, capfd: Capture) -> None:
    file = tmp_path / "report.json"
    words = ("--events", "20", "--repeat", "1", "--database", "sqlite", "--json", str(file))
    exit_code, output, errors = benchmarks.run_benchmark("moves", *words, capfd=capfd)
    # An import of a room knows no key of the server that exported it.
    assert (exit_code, {line[:21] for line in errors.splitlines()}) == (
        0,
        {"Warning: The bundle c"},
    )
    [report] = json.loads(file.read_text())
    assert [sorted(block["runs"]) for block in report["blocks"]] == [
        ["admin export-tenant", "admin import-tenant", "room export of each", "room import of each"]
    ]
    assert "\nexport-tenant ÷ the exports of its rooms" in output
