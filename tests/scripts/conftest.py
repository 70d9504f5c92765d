from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks import harness


@pytest.fixture
def migrated_file(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SQLite databases of benchmarks begin as copies of the one of this run."""
    data = Path(migrated.removeprefix("sqlite:///")).read_bytes()
    monkeypatch.setattr(harness, "_read_migrated_file", lambda: data)
