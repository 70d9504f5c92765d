"""`scripts/bench webhooks`, with so few events that only its workings are tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TOP = Path(__file__).parents[2]


def test_success_table() -> None:
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "scripts.benchmarks.webhooks",
            *("--people", "60", "--events", "1", "--setup", "sqlite"),
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    *_, heading, row = process.stdout.splitlines()
    assert heading.split()[:2] == ["median", "s"]
    assert row.startswith("SQLite, a process for each ")
