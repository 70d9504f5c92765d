from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TOP = Path(__file__).resolve().parents[2]


def test_fail_unknown_benchmark() -> None:
    process = subprocess.run(
        [TOP / "scripts/bench", "nonsense"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr == (
        "Unknown benchmark: nonsense.\nUse catalogue, cli, rooms, search, sync or webhooks.\n"
    )


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
