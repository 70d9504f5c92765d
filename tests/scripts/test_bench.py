from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TOP = Path(__file__).resolve().parents[2]


def test_fail_unknown_benchmark() -> None:
    ended = subprocess.run(
        [TOP / "scripts/bench", "nonsense"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "scripts/bench does not know nonsense.\nName cli, rooms, search or sync.\n"
    )


def test_success_cli() -> None:
    """One run of each: the figures mean nothing, that there are some does."""
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.cli", "--runs", "1"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = ended.stdout.splitlines()
    assert shown[-2].startswith("scaiwave --help ")
    assert shown[-1].startswith("scaiwave admin list-tenants ")
