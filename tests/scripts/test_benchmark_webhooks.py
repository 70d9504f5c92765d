"""`scripts/bench webhooks`, with so few events that only its workings are tested."""

from __future__ import annotations

import pytest

from tests.scripts.benchmarks import run_successfully

pytestmark = [pytest.mark.ci, pytest.mark.once, pytest.mark.usefixtures("migrated_file")]


def test_success_table(capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--people", "60", "--events", "1", "--setup", "sqlite")
    lines = run_successfully("webhooks", *words, capfd=capfd)
    [row] = [line for line in lines if line.startswith("SQLite, a process for each ")]
    assert lines[lines.index(row) - 1].split()[:2] == ["median", "s"]
