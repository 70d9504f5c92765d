"""`scripts/bench search`, small."""

from __future__ import annotations

import pytest

from tests.scripts.benchmarks import run_successfully

pytestmark = [pytest.mark.ci, pytest.mark.once, pytest.mark.usefixtures("migrated_file")]


def test_success_small(capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--events", "400", "--repeat", "1", "--database", "sqlite")
    lines = run_successfully("search", *words, capfd=capfd)
    names = [line.partition("  ")[0] for line in lines]
    for name in ("backfill", "INSERT … SELECT of its rows", "… and their full text"):
        assert name in names
