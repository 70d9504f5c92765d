"""`scripts/bench search`, small."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.scaiwave.cli_helpers import CHECKOUT

pytestmark = pytest.mark.once


def test_success_small() -> None:
    words = ("--events", "400", "--repeat", "1", "--database", "sqlite")
    process = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.search", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    names = [line.partition("  ")[0] for line in process.stdout.splitlines()]
    for name in ("backfill", "INSERT … SELECT of its rows", "… and their full text"):
        assert name in names
